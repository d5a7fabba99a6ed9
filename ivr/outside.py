"""What one call holds of the world outside: timers, lookups, a place in a line, agents, phones.

Rules this module keeps:

- Pure: the world is a frozen value. `told` and `asked` give the world after an event, and after an
  action; an action that the world must not be asked for raises Wrong, in a sentence for people.
- It knows what was asked for and what came of it, and nothing of how the machine works. What the
  world may do next is in `ivr.chances`.
- What the caller has been given (a conversation, a promise kept in the store, the question for a
  number) is remembered, so that the end of a call can be judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ivr import actions, events
from ivr.actions import Action
from ivr.events import Event

BACK = "back"
"""The feature by which an agent ends a hold; it is keyed on the agent's own leg."""
NOTES = frozenset({"transfer_note"})
"""Kinds of `Keep` that are written for the agent, and no contact for a call-back."""
MESSAGE, CONTACT = "message", "contact."
"""What a recording is called that is a message, and how prompts begin that ask for a number."""


class Wrong(Exception):
    """The call asked for what must never be asked; the message says what."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A phone that we ring. `stage` is ringing, briefing (the agent hears the note), accepted,
    bridged, or gone (nobody is there any more, and the call need not know it yet)."""

    id: int
    agent: str
    stage: str = "ringing"


@dataclass(frozen=True, slots=True)
class Outside:
    """What the call has asked for and not got yet, or holds and has not given back.

    `foreground` is what has the caller's ear: the kind of action and its id. `place` is the id of
    the waiting line it stands in, 0 if none. `bridge` is the id of a conversation that is not over,
    0 if none; `ear` says that a feature code has given us the caller's ear meanwhile, and `begun`
    that one has been asked for: the two do talk. `wished`: the caller wishes for a person;
    `served`: has talked to one, has left contact or been asked for it, was told that nothing can be
    kept, or ops end the call.
    """

    foreground: tuple[str, int] = ("", 0)
    timers: tuple[tuple[int, str], ...] = ()
    lookups: tuple[tuple[int, str], ...] = ()
    keeps: tuple[tuple[int, str], ...] = ()
    surveys: tuple[int, ...] = ()
    place: int = 0
    claims: tuple[str, ...] = ()
    legs: tuple[Leg, ...] = ()
    bridge: int = 0
    ear: bool = False
    begun: bool = False
    references: tuple[str, ...] = ()
    gone: bool = False
    ended: bool = False
    wished: bool = False
    served: bool = False

    # -- what it comes to

    def ids(self) -> Iterator[int]:
        """The ids of all that is held or awaited."""
        yield self.foreground[1]
        for held in (self.timers, self.lookups, self.keeps):
            yield from (number for number, _ in held)
        yield from self.surveys
        yield from (self.place, self.bridge)
        yield from (leg.id for leg in self.legs)

    def key(self, names: Mapping[int, int]) -> tuple[object, ...]:
        """What two such worlds have in common that differ only in their ids."""
        return (
            (self.foreground[0], names.get(self.foreground[1], 0)),
            tuple([(names[number], name) for number, name in self.timers]),
            tuple([(names[number], name) for number, name in self.lookups]),
            tuple([(names[number], name) for number, name in self.keeps]),
            tuple([names[number] for number in self.surveys]),
            (names.get(self.place, 0), names.get(self.bridge, 0), self.ear, self.begun),
            tuple([(names[leg.id], leg.agent, leg.stage) for leg in self.legs]),
            (self.claims, self.references),
            (self.gone, self.ended),
            (self.wished, self.served),
        )

    def held(self) -> Iterator[str]:
        """What is held of the waiting line and of people, in words."""
        if self.place:
            yield "a place in the waiting line"
        for agent in self.claims:
            yield f"the claim on agent {agent}"
        for leg in self.living():
            yield f"the {leg.stage} leg of agent {leg.agent}"

    def left_over(self) -> Iterator[str]:
        """All that is still held, in words; of a call that is over this must be nothing."""
        yield from self.held()
        for _, name in self.timers:
            yield f"the timer '{name}'"
        for _, name in self.lookups:
            yield f"the lookup '{name}'"

    def living(self) -> tuple[Leg, ...]:
        """The legs on which a phone still rings or somebody still is, for all the call knows."""
        return tuple(leg for leg in self.legs if leg.stage != "gone")

    @property
    def on_hold(self) -> bool:
        """Whether the caller hears music, and for no short moment."""
        return self.foreground[0] == "Music" and not self.keeps and not self.surveys

    # -- what was asked for

    def asked(self, action: Action) -> Outside:
        """The world after the call has asked for `action`. Raises Wrong."""
        match action:
            case actions.Foreground():
                return self._foreground(action)
            case actions.SetTimer(id=number, name=name):
                if name in (held for _, held in self.timers):
                    raise Wrong(f"a second timer '{name}' is set while the first one runs")
                return replace(self, timers=(*self.timers, (number, name)))
            case actions.CancelTimer(id=number):
                return replace(self, timers=_without(self.timers, number, "a timer"))
            case actions.LookUp(id=number, name=name):
                return replace(self, lookups=(*self.lookups, (number, name)))
            case actions.CancelLookUp(id=number):
                return replace(self, lookups=_without(self.lookups, number, "a lookup"))
            case actions.Keep(id=number, kind=kind):
                return replace(self, keeps=(*self.keeps, (number, kind)))
            case actions.Survey(id=number):
                return replace(self, surveys=(*self.surveys, number), wished=True, served=False)
            case _:
                return self._people(action)

    def _foreground(self, action: actions.Foreground) -> Outside:
        kind = type(action).__name__
        if self.gone:
            raise Wrong(f"{kind} for a caller who is gone")
        if isinstance(action, actions.Resume):
            if not self.bridge or not self.ear:
                raise Wrong("Resume, and no conversation was interrupted")
            return replace(self, ear=False, foreground=("", 0))
        talking = any(leg.stage == "bridged" for leg in self.legs)
        if self.bridge and not self.ear and talking and not isinstance(action, actions.HangUp):
            raise Wrong(f"{kind} in the middle of a conversation")
        # a conversation whose agent we have let go is over as soon as we do anything else
        bridge = self.bridge if self.ear else 0
        after = replace(self, foreground=(kind, action.id), bridge=bridge)
        match action:
            case actions.Bridge(leg=number):
                return after._bridged(number, action.id)
            case actions.HangUp():
                return replace(after, foreground=("", 0), ended=True, bridge=0)
            case actions.Record(what=what) if what == MESSAGE:
                return replace(after, served=self.served or self.wished)
            case actions.Say(prompt=prompt) if prompt.startswith(CONTACT):
                return replace(after, served=self.served or self.wished)
            case _:
                return after

    def _bridged(self, number: int, bridge: int) -> Outside:
        leg = next((leg for leg in self.legs if leg.id == number), None)
        if leg is None or leg.stage != "accepted":
            stage = leg.stage if leg else "not there"
            raise Wrong(f"Bridge to an agent whose leg is {stage}")
        if self.bridge:
            raise Wrong("Bridge while another conversation is not over")
        legs = tuple(
            replace(leg, stage="bridged") if leg.id == number else leg for leg in self.legs
        )
        return replace(self, legs=legs, bridge=bridge, ear=False, begun=False)

    def _people(self, action: Action) -> Outside:
        match action:
            case actions.JoinLine(id=number):
                if self.place:
                    raise Wrong("JoinLine by one who stands in a line")
                return replace(self, place=number, wished=True, served=False)
            case actions.LeaveLine(id=number):
                if number != self.place or not number:
                    raise Wrong("LeaveLine by one who does not stand in this line")
                return replace(self, place=0)
            case actions.RingAgent():
                return self._rung(action)
            case actions.CancelRing(id=number):
                if number not in (leg.id for leg in self.legs):
                    raise Wrong("CancelRing of a leg that is not there")
                legs = tuple(leg for leg in self.legs if leg.id != number)
                return replace(self, legs=legs)
            case actions.Release(agent=agent):
                if agent not in self.claims:
                    raise Wrong(f"Release of agent {agent}, who is not claimed")
                if agent in (leg.agent for leg in self.living()):
                    raise Wrong(f"Release of agent {agent}, whose leg is {self._stage(agent)}")
                return replace(
                    self,
                    claims=tuple(name for name in self.claims if name != agent),
                    legs=tuple(leg for leg in self.legs if leg.agent != agent),
                )
            case _:
                return self

    def _stage(self, agent: str) -> str:
        return next(leg.stage for leg in self.living() if leg.agent == agent)

    def _rung(self, action: actions.RingAgent) -> Outside:
        if self.gone:
            raise Wrong("RingAgent for a caller who is gone")
        if action.agent not in self.claims:
            raise Wrong(f"RingAgent of agent {action.agent}, who is not claimed")
        if action.reference not in self.references or not action.reference:
            raise Wrong("RingAgent before its note is stored")
        if self.living():
            raise Wrong("RingAgent while another phone rings for this call")
        return replace(self, legs=(*self.legs, Leg(action.id, action.agent)))

    # -- what happened

    def told(self, event: Event) -> Outside:
        """The world after `event`, which it was free to do."""
        match event:
            case events.HungUp():
                return replace(self, gone=True, foreground=("", 0), bridge=0, ear=False)
            case events.Reached(leg=leg, values=values) if leg:
                agent = dict(values)["agent"]
                return replace(self, legs=(Leg(leg, agent, "accepted"),), claims=(agent,))
            case events.EndAsked():
                return replace(self, served=True)
            case events.AgentGone(agent=agent):
                legs = tuple(
                    replace(leg, stage="gone") if leg.agent == agent else leg for leg in self.legs
                )
                return replace(self, legs=legs)
            case events.FeatureAsked(feature=feature):
                if feature == BACK:
                    return self
                return replace(self, ear=True, begun=True, foreground=("", 0), served=True)
            case events.Answer():
                return self._answered(event)
            case _:
                return self

    def _answered(self, event: events.Answer) -> Outside:
        number = event.id
        after = self
        if number == self.foreground[1] and not isinstance(event, events.BridgeOver):
            after = replace(self, foreground=("", 0))
        match event:
            case events.TimerFired():
                return replace(after, timers=_without(self.timers, number, "a timer"))
            case events.Found() | events.NotFound() | events.LookupFailed():
                return replace(after, lookups=_without(self.lookups, number, "a lookup"))
            case events.Stored(reference=reference):
                noted = (reference,) if dict(self.keeps)[number] in NOTES else ()
                return replace(
                    after,
                    keeps=_without(self.keeps, number, "a keep"),
                    references=tuple(sorted({*self.references, *noted})),
                    served=self.served or (self.wished and not noted),
                )
            case events.StoreFailed():
                # the caller is told that nothing can be kept
                told = self.served or self.wished
                return replace(after, keeps=_without(self.keeps, number, "a keep"), served=told)
            case events.Surveyed():
                return replace(after, surveys=tuple(n for n in self.surveys if n != number))
            case events.Unstaffed():
                return replace(after, place=0)
            case events.Claimed(agent=agent):
                return replace(after, claims=tuple(sorted((*self.claims, agent))))
            case events.AgentAnswered():
                return after._staged(number, "briefing")
            case events.AgentAccepted():
                return after._staged(number, "accepted")
            case events.AgentFailed():
                return replace(after, legs=tuple(leg for leg in self.legs if leg.id != number))
            case events.BridgeOver(reason=reason):
                return after._over(reason)
            case _:
                return after

    def _staged(self, number: int, stage: str) -> Outside:
        legs = tuple(replace(leg, stage=stage) if leg.id == number else leg for leg in self.legs)
        return replace(self, legs=legs)

    def _over(self, reason: str) -> Outside:
        """The conversation is over, and the agent is on the phone no more; but who was never joined
        with the caller still waits there."""
        stage = "accepted" if reason == "failed" else "gone"
        legs = tuple(
            replace(leg, stage=stage) if leg.stage == "bridged" else leg for leg in self.legs
        )
        served = self.served or reason == "agent"
        return replace(
            self,
            bridge=0,
            ear=False,
            foreground=("", 0),
            legs=legs,
            served=served,
        )


def _without(
    held: tuple[tuple[int, str], ...], number: int, what: str
) -> tuple[tuple[int, str], ...]:
    rest = tuple(pair for pair in held if pair[0] != number)
    if len(rest) == len(held):
        raise Wrong(f"{what} is cancelled that is not there")
    return rest
