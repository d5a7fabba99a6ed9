"""Ringing: how long it rang is known, and who rang too long hears that we are sorry."""

from __future__ import annotations

import pytest
from harness import Performed

from ivr.live_rehearsal import Performance

pytestmark = pytest.mark.live

EXACT = 0.1
"""Seconds by which the ring time in the record may be off."""


def rang(done: Performance, figures: list[str]) -> tuple[float, float]:
    """How long it rang: as the telephone measured it, and as it was written down."""
    assert done.call.answered_at is not None
    assert done.call.invited_at is not None
    measured = done.call.answered_at - done.call.invited_at
    figures.append(f"rang {measured:.3f} s, the record says {done.row.rung_ms / 1000:.3f} s")
    return measured, done.row.rung_ms / 1000


@pytest.mark.performs("xjca-silent")
def test_a_call_is_picked_up_after_one_whole_ring(performed: Performed, figures: list[str]) -> None:
    measured, written = rang(performed("xjca-silent"), figures)
    assert measured == pytest.approx(5.0, abs=0.2)
    assert written == pytest.approx(measured, abs=EXACT)


@pytest.mark.performs("rung-15-s")
def test_a_call_that_has_rung_fifteen_seconds_hears_the_late_apology(
    performed: Performed, figures: list[str]
) -> None:
    done = performed("rung-15-s")
    assert done.complaints == ()
    assert done.outcome.hears == ("opening.late",)
    measured, written = rang(done, figures)
    assert measured == pytest.approx(15.0, abs=0.3)
    assert written == pytest.approx(measured, abs=EXACT)


@pytest.mark.performs("people-ring-first")
def test_the_time_our_people_were_rung_is_part_of_the_ringing(
    performed: Performed, figures: list[str]
) -> None:
    done = performed("people-ring-first")
    assert done.complaints == ()
    assert done.outcome.hears == ("opening",)
    measured, written = rang(done, figures)
    assert measured == pytest.approx(8.0, abs=0.3)
    assert written == pytest.approx(measured, abs=EXACT)
