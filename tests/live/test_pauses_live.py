"""The silent caller, and the caller who is not: pauses and reactions, measured in the sound."""

from __future__ import annotations

import pytest
from harness import Performed

from ivr.ear import Heard, pauses
from ivr.live_rehearsal import Performance
from ivr.simulate import Moment

pytestmark = pytest.mark.live

EXACT = 0.1
"""Seconds by which a pause may be off."""
REACTION = 0.4
"""Seconds from what a caller does to what we do."""

LADDERS = {
    "xjca-silent": (2.0, 0.5),
    "infodesk-silent": (5.0, 5.0),
    "lakala-silent": (3.0,),
    "ems-silent-throughout": (3.0, 3.0),
}
"""Pauses between the prompts of each line's ladder."""
LAST = {"xjca-silent": 0.0, "infodesk-silent": 5.0, "lakala-silent": 3.0}
"""Pause before our own hang-up."""


def told(what: str, name: str, values: list[float]) -> str:
    """Figures, in words."""
    return f"{what} ({name}): {', '.join(f'{value:.3f}' for value in values)} s"


def scenes(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=pytest.mark.performs(name)) for name in names]
    )


@scenes(*LADDERS)
def test_a_silent_caller_hears_exactly_what_is_prescribed_and_then_our_hang_up(
    name: str, performed: Performed, figures: list[str]
) -> None:
    done = performed(name)
    assert done.complaints == ()
    assert not any(heard.cut for heard in done.heard)
    measured = pauses(done.heard)[: len(LADDERS[name])]
    figures.append(told("pauses", name, measured))
    for pause, wanted in zip(measured, LADDERS[name], strict=True):
        assert pause == pytest.approx(wanted, abs=EXACT)
    assert done.call.ended_by == "them"


@scenes(*LAST)
def test_we_hang_up_after_the_last_pause_and_not_before(
    name: str, performed: Performed, figures: list[str]
) -> None:
    done = performed(name)
    assert done.call.ended_at is not None
    pause = done.call.ended_at - done.heard[-1].end
    figures.append(told("last pause", name, [pause]))
    assert pause == pytest.approx(LAST[name], abs=EXACT)


@pytest.mark.performs("echo")
def test_the_opening_that_comes_back_as_echo_cuts_nothing_off(
    performed: Performed, figures: list[str]
) -> None:
    done = performed("echo")
    assert done.complaints == ()
    assert done.outcome.hears == ("opening", "silence.can_you_hear", "silence.no_sound")
    assert not any(heard.cut for heard in done.heard)
    figures.append(told("pauses with echo", "xjca", pauses(done.heard)))
    assert pauses(done.heard) == pytest.approx([2.0, 0.5], abs=EXACT)


@scenes(
    "xjca-speaks-over-can-you-hear",
    "infodesk-speaks-over-the-second-opening",
    "xjca-presses-over-no-sound",
    "xjca-greets-first",
    "ems-item-mistyped",
)
def test_what_a_caller_does_over_a_prompt_stops_it_at_once(
    name: str, performed: Performed, figures: list[str]
) -> None:
    done = performed(name)
    assert done.complaints == ()
    began, cut = first_act_over(done)
    figures.append(told("stopped", name, [cut.sound_end - began]))
    assert cut.sound_end - began <= REACTION


def first_act_over(done: Performance) -> tuple[float, Heard]:
    """When the caller first did something, and the prompt that was heard then."""
    began = next(when for when, what in done.call.marks if not what.endswith("ended"))
    return began, next(heard for heard in done.heard if heard.start <= began <= heard.end + 1)


@scenes("xjca-presses-in-the-second-pause")
def test_a_key_in_a_pause_is_answered_at_once(
    name: str, performed: Performed, figures: list[str]
) -> None:
    done = performed(name)
    assert done.complaints == ()
    began = next(when for when, what in done.call.marks if what.startswith("press"))
    answer = next(heard for heard in done.heard if heard.start > began)
    figures.append(told("answered", name, [answer.start - began]))
    assert answer.start - began <= REACTION


@scenes(
    "ems-speaks-in-the-ladder",
    "lakala-speaks-in-the-second-pause",
    "xjca-speaks-in-the-first-pause",
)
def test_a_voice_in_a_pause_ends_the_ladder_and_is_heard_out(
    name: str, performed: Performed, figures: list[str]
) -> None:
    done = performed(name)
    assert done.complaints == ()
    began = next(when for when, what in done.call.marks if what == "speak")
    ended = next(when for when, what in done.call.marks if what == "speak ended")
    noticed = moment(done, next(m for m in done.outcome.moments if is_(m, "Voice"))) - began
    answer = next(heard for heard in done.heard if heard.start > began)
    figures.append(
        told("noticed, then answered after the voice", name, [noticed, answer.start - ended])
    )
    assert noticed <= REACTION
    assert answer.start - ended == pytest.approx(0.8, abs=0.2)


def is_(moment: Moment, name: str) -> bool:
    return type(moment.what).__name__ == name


def moment(done: Performance, entry: Moment) -> float:
    """When something was journalled, on the telephone's clock: both know when it was answered."""
    answered = next(m.at for m in done.outcome.moments if is_(m, "Answered"))
    assert done.call.answered_at is not None
    return done.call.answered_at + entry.at - answered
