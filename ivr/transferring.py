"""Activities that bring a caller to a person: a look at a department, and the wait for an agent.

Rules this module keeps:

- The caller hears from us every `every` seconds, from start to start, from the moment the wait
  begins until somebody talks to them: also while a phone rings and while an agent hears the note.
- Nobody is interrupted, not even we: a prompt that has begun is ended before the two are bridged.
  A caller who talks on over it is heard by the agent then, who is not kept waiting in silence.
- The caller may leave contact by key at any moment, and keeps the place in the line for it.
- What is held (timers, the place in the line, an agent claimed, a phone that rings) is given back
  exactly once, whichever way the wait ends. An agent who has accepted is handed on to `bridge`
  by the turn's `leg` and the slot `agent`.
- A phone is rung only with the reference of a note that is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ivr.activity import Activity, Memory, Turn
from ivr.events import (
    AgentAccepted,
    AgentAnswered,
    AgentFailed,
    AgentGone,
    Claimed,
    Event,
    HeardOut,
    Key,
    Placed,
    Said,
    Surveyed,
    TimerFired,
    Unplayable,
    Unstaffed,
    Voice,
)
from ivr.slots import MOST

ACCEPTED, LEAVE, TOO_LONG, NOBODY = "accepted", "leave", "too_long", "nobody"


def _standing(turn: Turn, event: Surveyed | Placed) -> None:
    """Where the caller stands, for the prompts that say so."""
    turn.set("ahead", str(min(event.ahead, MOST)))
    turn.set("minutes", str(min(max(event.minutes, 1), MOST)))


@dataclass(frozen=True, slots=True)
class SurveyMemory(Memory):
    survey: int


@dataclass(frozen=True, slots=True)
class Survey(Activity):
    """Look whether somebody of a department takes calls now, or soon. Without a department it is
    the line's own, or that of the agent who is wanted. Sets the slots `department`, `ahead` and
    `minutes`."""

    name: ClassVar[str] = "survey"
    department: str = ""
    staff_number: str = ""

    def triggers(self) -> frozenset[str]:
        return frozenset({"staffed", "busy", "unstaffed"})

    def enter(self, turn: Turn) -> Memory:
        wanted = turn.fill(self.staff_number)
        agent = turn.staff.agents.get(wanted)
        own = agent.departments[0] if agent else turn.staff.transfer.department
        department = turn.fill(self.department) or own
        if department not in turn.staff.departments or (wanted and agent is None):
            turn.fire("unstaffed")
            return SurveyMemory(0)
        # a key from before the question of consent is no answer to it
        turn.take_pending()
        turn.set("department", department)
        return SurveyMemory(turn.survey(department, wanted))

    def handle(self, turn: Turn, memory: SurveyMemory, event: Event) -> Memory:
        match event:
            case Surveyed(staffed=False):
                turn.fire("unstaffed")
            case Surveyed():
                _standing(turn, event)
                turn.fire("busy" if event.ahead or event.minutes else "staffed")
            case Key():
                pass
            case _:
                turn.ignore("unhandled")
        return memory

    def leave(self, turn: Turn, memory: SurveyMemory) -> None:
        turn.forget(memory.survey)


@dataclass(frozen=True, slots=True)
class TransferMemory(Memory):
    """`line`, `limit`, `sign` and `ring` are the ids of what is held; `agent` is the staff number
    of the agent who is claimed. `tries` counts the phones rung. `quiet`: nothing is being said,
    by us or by the caller; `spoke`: the caller began to speak over what we say, `hearing`: and is
    heard out now. `told` is the
    position the caller was told last. `result` is what this wait has come to, `overdue`
    whether it has lasted for as long as a wait may, `handed` whether the agent is the next
    state's."""

    line: int
    limit: int
    sign: int
    ring: int = 0
    agent: str = ""
    tries: int = 0
    quiet: bool = False
    spoke: bool = False
    hearing: bool = False
    told: str = ""
    result: str = ""
    overdue: bool = False
    handed: bool = False


@dataclass(frozen=True, slots=True)
class Transfer(Activity):
    """Wait in the line of a department, have agents rung one after another who hear the note, and
    go on when one accepts (XJCA-5d2, LKL-2.2, EMS-9). How long and how often is the line's own
    (`transfer:` in its file). `note` are the slots that the agent is told; the slot `reference` is
    that of the stored note."""

    name: ClassVar[str] = "transfer"
    staff_number: str = ""
    begin: str = ""
    next: str = ""
    music: str = "default"
    sign_of_life: str = ""
    position: str = ""
    every: float = 30.0
    leave_key: str = "9"
    note: tuple[str, ...] = ()

    def triggers(self) -> frozenset[str]:
        return frozenset({ACCEPTED, LEAVE, TOO_LONG, NOBODY})

    def prompts(self) -> Iterator[str]:
        return iter((self.begin, self.next, self.sign_of_life, self.position))

    def enter(self, turn: Turn) -> Memory:
        turn.take_pending()
        turn.say(self.begin, voice=False)
        return TransferMemory(
            sign=turn.set_timer("sign_of_life", self.every),
            limit=turn.set_timer("limit", turn.staff.transfer.limit),
            line=turn.join_line(turn.slot("department"), turn.fill(self.staff_number)),
        )

    def handle(self, turn: Turn, memory: TransferMemory, event: Event) -> Memory:
        match event:
            case Said() | Unplayable() if memory.spoke and memory.result != ACCEPTED:
                turn.hear_out()
                return replace(memory, spoke=False, hearing=True)
            case Said() | Unplayable() | HeardOut():
                memory = replace(memory, quiet=True, spoke=False, hearing=False)
                if not self._due(memory):
                    turn.music(self.music)
                return self._go_on(turn, memory)
            case TimerFired(id=number) if number == memory.limit:
                memory = replace(memory, overdue=True)
                return self._go_on(turn, replace(memory, result=memory.result or TOO_LONG))
            case TimerFired():
                return self._sign(turn, memory)
            case Placed():
                _standing(turn, event)
            case Claimed(agent=agent):
                return self._ring(turn, memory, agent)
            case Unstaffed():
                result = memory.result or ("" if memory.ring else NOBODY)
                return self._go_on(turn, replace(memory, line=0, result=result))
            case AgentAnswered():
                pass
            case AgentAccepted():
                quiet = memory.quiet or memory.hearing
                return self._go_on(turn, replace(memory, result=ACCEPTED, quiet=quiet))
            case AgentFailed(reason=reason):
                return self._failed(turn, memory, reason)
            case AgentGone(agent=agent) if agent == memory.agent:
                return self._failed(turn, memory, "dropped")
            case Key(digit=digit) if digit == self.leave_key:
                turn.fire(LEAVE)
                return replace(memory, result=LEAVE)
            case Voice() if not memory.quiet:
                return replace(memory, spoke=True)
            case Key() | Voice():
                pass
            case _:
                turn.ignore("unhandled")
        return memory

    def _due(self, memory: TransferMemory) -> bool:
        """Whether this wait has come to something, and nothing is still being said. A wait that is
        over by the clock lets an agent who is being tried decide first."""
        tried = memory.ring and memory.result != ACCEPTED
        return bool(memory.result) and memory.quiet and not tried

    def _go_on(self, turn: Turn, memory: TransferMemory) -> TransferMemory:
        """Go on with what this wait has come to, if that is due."""
        if not self._due(memory):
            return memory
        turn.fire(memory.result)
        return replace(memory, handed=memory.result == ACCEPTED)

    def _sign(self, turn: Turn, memory: TransferMemory) -> TransferMemory:
        ahead = turn.slot("ahead")
        moved = ahead not in ("", "0", memory.told)
        return self._speak(turn, memory, self.position if moved else self.sign_of_life, ahead)

    def _speak(self, turn: Turn, memory: TransferMemory, prompt: str, told: str) -> TransferMemory:
        """Say something to one who waits: the next sign of life is due from its beginning."""
        turn.cancel_timer(memory.sign)
        turn.say(prompt, voice=False)
        sign = turn.set_timer("sign_of_life", self.every)
        return replace(memory, sign=sign, quiet=False, spoke=False, hearing=False, told=told)

    def _ring(self, turn: Turn, memory: TransferMemory, agent: str) -> TransferMemory:
        if memory.agent or memory.result:
            turn.release(agent, "free")
            return memory
        turn.set("agent", agent)
        note = tuple((name, turn.slot(name)) for name in self.note if turn.slot(name))
        ring = turn.ring_agent(agent, note, turn.slot("reference"), turn.staff.transfer.ring)
        return replace(memory, agent=agent, ring=ring, tries=memory.tries + 1)

    def _failed(self, turn: Turn, memory: TransferMemory, reason: str) -> TransferMemory:
        """This agent will not take the call: the next one may, as long as the caller agrees."""
        turn.release(memory.agent, reason)
        given_up = not memory.line or memory.tries >= turn.staff.transfer.attempts
        result = memory.result
        if result == ACCEPTED:
            result = TOO_LONG if memory.overdue else ""
        result = result or (NOBODY if given_up else "")
        memory = replace(memory, ring=0, agent="", result=result)
        if memory.quiet and not result:
            return self._speak(turn, memory, self.next, memory.told)
        return self._go_on(turn, memory)

    def leave(self, turn: Turn, memory: TransferMemory) -> None:
        turn.cancel_timer(memory.sign)
        turn.cancel_timer(memory.limit)
        # who leaves contact keeps the place in the line, for the call back
        keeps = memory.result in (LEAVE, TOO_LONG)
        turn.leave_line(memory.line, turn.slot("reference") if keeps else "")
        if not memory.handed:
            turn.cancel_ring(memory.ring)
            if memory.agent:
                turn.release(memory.agent, "free")
