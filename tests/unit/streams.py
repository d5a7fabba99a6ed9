"""Calls written down for the rules that watch them."""

from __future__ import annotations

from collections.abc import Iterator

from ivr.actions import Action, Say
from ivr.events import Event


def say(prompt: str, **slots: str) -> Say:
    return Say(1, prompt, tuple(slots.items()))


def stream(*moments: float | Event | Action) -> Iterator[tuple[float, Event | Action]]:
    """What happened, and when: a number is the time from then on."""
    at = 0.0
    for what in moments:
        if isinstance(what, int | float):
            at = float(what)
        else:
            yield at, what
