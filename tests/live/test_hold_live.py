"""Holding: with consent, with signs of life, and never a moment longer than the lookup takes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from harness import Performed

from ivr.ear import Heard, music
from ivr.live_rehearsal import Performance

pytestmark = pytest.mark.live


def at(done: Performance, prompt: str) -> list[Heard]:
    """Where a prompt was heard."""
    return [
        heard
        for heard in done.heard
        if any(name == f"ems.{prompt}" or name.startswith(f"ems.{prompt}.") for name in heard.names)
    ]


@pytest.mark.performs("waits-75-s")
def test_a_caller_who_waits_hears_from_us_every_thirty_seconds(
    performed: Performed, figures: list[str]
) -> None:
    done = performed("waits-75-s")
    assert done.complaints == ()
    prompts = done.outcome.hears
    assert prompts.index("hold.ask") < prompts.index("hold.agreed")
    assert prompts[-5:] == (
        "hold.agreed", "hold.still_here", "hold.still_here", "hold.thanks",
        "query.result.in_transit",
    )  # fmt: skip
    assert done.row.record["consent"] == "given"
    signs = [at(done, "hold.agreed")[0], *at(done, "hold.still_here")]
    signs.append(at(done, "hold.thanks")[0])
    gaps = [later.start - earlier.start for earlier, later in pairwise(signs)]
    figures.append(f"signs of life: {', '.join(f'{gap:.3f}' for gap in gaps)} s")
    assert gaps[:2] == pytest.approx([30.0, 30.0], abs=0.5)
    assert max(gaps) <= 30.5


@pytest.mark.performs("waits-75-s")
def test_there_is_music_between_the_signs_of_life(performed: Performed, figures: list[str]) -> None:
    done = performed("waits-75-s")
    begin, end = at(done, "hold.agreed")[0].end, at(done, "hold.thanks")[0].start
    heard = sum(
        max(0.0, min(end, stretch.end) - max(begin, stretch.start))
        for stretch in music(done.call.heard, done.heard)
    )
    said = sum(sign.end - sign.start for sign in at(done, "hold.still_here"))
    figures.append(f"music: {heard:.1f} of {end - begin - said:.1f} s")
    assert heard >= 0.9 * (end - begin - said)


@pytest.mark.performs("waits-75-s")
def test_the_end_of_the_lookup_is_heard_within_half_a_second(
    performed: Performed, answered: dict[str, float], figures: list[str]
) -> None:
    done = performed("waits-75-s")
    late = at(done, "hold.thanks")[0].sound_start - answered[done.caller]
    figures.append(f"the lookup's end was heard after {late:.3f} s")
    assert 0 <= late <= 0.5


@pytest.mark.performs("ems-declines-to-wait")
def test_a_caller_who_will_not_wait_leaves_contact(performed: Performed) -> None:
    done = performed("ems-declines-to-wait")
    assert done.complaints == ()
    assert done.row.record["consent"] == "refused"
    assert "hold.agreed" not in done.outcome.hears
    assert "message.kept.query" in done.outcome.hears


@pytest.mark.performs("ems-hangs-up-on-hold")
def test_a_caller_who_hangs_up_on_hold_is_written_down_so(performed: Performed) -> None:
    done = performed("ems-hangs-up-on-hold")
    assert done.complaints == ()
    assert (done.row.ended_by, done.row.record["consent"]) == ("caller", "given")
