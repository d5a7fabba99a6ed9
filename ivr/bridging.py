"""The conversation of a caller with an agent: what we do while the two talk.

Rules this module keeps:

- The agent asks us by feature codes: to keep the caller on hold, which needs the caller's consent
  by key, or to say a prescribed sentence. Both end by giving the caller back to the agent. A hold
  may have a question of its own, for an agent who has to ask a superior first (LKL-4.7).
- A sentence that says that something is kept is said once it is stored, and promises a call only
  to a number that is promised one. A caller without such a number is asked to stay on the line
  after the conversation, and the slot `owed` says what is to be kept then (XJCA-6.2b, LKL-5.4).
- A caller on hold hears from us every `every` seconds, from start to start, and an apology when
  the agent is back; never a return without a word (LKL-1.3, XJCA-6.3a).
- A caller whose agent hangs up hears nothing more from inside the conversation; what comes next
  is the flow's. An agent who does not come back within the line's `hold_limit` is let go, and
  the caller is told to the flow as abandoned (XJCA-5l).
- The agent and the agent's phone are held from the moment `transfer` hands them on until the
  conversation is over, and given back exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from ivr.activity import Activity, Memory, Turn
from ivr.asking import TIMES_SPOKEN
from ivr.directory import may_call_back
from ivr.events import (
    AgentGone,
    BridgeOver,
    Event,
    FeatureAsked,
    HeardOut,
    Key,
    Said,
    Silence,
    Stored,
    StoreFailed,
    TimerFired,
    Unplayable,
    Voice,
)
from ivr.staff import BACK, Feature
from ivr.ticket_rules import ANSWER

TALKING = "talking"
ASKING, HINT, PAUSE, HEARING = "asking", "hint", "pause", "hearing"
HOLDING, THANKING = "holding", "thanking"
SENTENCE, ENDING, KEEPING = "sentence", "ending", "keeping"
STORING = 10.0
"""Seconds of listening at once while something is being stored; it takes as long as it takes."""
CONSENT = (ASKING, HINT, PAUSE, HEARING)
"""The stages of the question whether the caller would wait."""


@dataclass(frozen=True, slots=True)
class BridgeMemory(Memory):
    """`bridge` and `leg` are the ids of what is held, `agent` the staff number of the agent who
    is; `gone`: that agent has hung up. `stage` is what the caller hears now, TALKING when that is
    the agent. `quiet`: nothing is being said. `question` is how the caller is asked to wait;
    `asked` and `spoken` count how often that was, and how often the answer was in words. `back`:
    the agent wants the caller back. `heard` counts how often each sentence with several forms has
    been said. `abandoned`: the agent never came back from a hold. `keep` is what is being kept, by
    the feature `keeping`; `then` is said once the caller, who speaks, has been heard out."""

    bridge: int
    leg: int
    agent: str
    sign: int = 0
    limit: int = 0
    stage: str = TALKING
    quiet: bool = True
    spoke: bool = False
    question: str = ""
    asked: int = 0
    spoken: int = 0
    back: bool = False
    gone: bool = False
    abandoned: bool = False
    heard: tuple[tuple[str, int], ...] = ()
    keep: int = 0
    keeping: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True)
class Bridge(Activity):
    """Let the caller talk to the agent who has accepted, and do what the agent's feature codes
    ask for. `talked` seconds are set as a slot. `keeps` are the values of what a code keeps;
    `stay`, `refused` and `lost` are said where nothing can be promised for it: without a number,
    to a number that is promised no call, and where nothing could be stored."""

    name: ClassVar[str] = "bridge"
    ask: str = ""
    hint: str = ""
    begin: str = ""
    music: str = "default"
    sign_of_life: str = ""
    thanks: str = ""
    stay: str = ""
    refused: str = ""
    lost: str = ""
    keeps: tuple[str, ...] = ()
    every: float = 30.0
    pause: float = 5.0
    silence_prompts: int = 2

    def triggers(self) -> frozenset[str]:
        return frozenset({"over", "failed", "abandoned", "ended"})

    def prompts(self) -> Iterator[str]:
        hold = self.ask, self.hint, self.begin, self.sign_of_life, self.thanks
        return iter((*hold, self.stay, self.refused, self.lost))

    def enter(self, turn: Turn) -> Memory:
        turn.take_pending()
        leg = turn.leg
        if not leg:
            # the agent who had accepted is gone already
            turn.release(turn.slot("agent"), "dropped")
            turn.fire("failed")
            return BridgeMemory(bridge=0, leg=0, agent="")
        return BridgeMemory(bridge=turn.bridge(leg), leg=leg, agent=turn.slot("agent"))

    def handle(self, turn: Turn, memory: BridgeMemory, event: Event) -> Memory:
        match event:
            case BridgeOver():
                return self._over(turn, memory, event)
            case AgentGone(agent=agent) if agent == memory.agent:
                return self._settle(turn, replace(memory, leg=0, gone=True))
            case FeatureAsked(feature=feature):
                return self._feature(turn, memory, feature)
            case Stored() | StoreFailed() if memory.stage == KEEPING:
                return self._kept(turn, memory, event)
            case Silence() | HeardOut() if memory.stage == KEEPING:
                return self._told(turn, replace(memory, spoke=False))
            case Voice() if memory.stage == KEEPING:
                turn.hear_out()
                return replace(memory, spoke=True)
            case _ if memory.stage == TALKING:
                turn.ignore("the two are talking")
            case Said() | Unplayable() if memory.spoke:
                turn.hear_out()
                return replace(memory, spoke=False)
            case Said() | Unplayable() | HeardOut():
                return self._said(turn, replace(memory, quiet=True))
            case TimerFired(id=number) if number == memory.limit:
                return self._abandon(turn, memory)
            case TimerFired():
                turn.say(self.sign_of_life, voice=False)
                sign = turn.set_timer("sign_of_life", self.every)
                return replace(memory, sign=sign, quiet=False, spoke=False)
            case Silence():
                return self._ask_again(turn, memory)
            case Key(digit=digit) if memory.stage in CONSENT:
                return self._answer(turn, memory, digit)
            case Voice() if memory.stage in CONSENT:
                turn.hear_out()
                return replace(memory, stage=HEARING, quiet=False)
            case Voice() if memory.stage == HOLDING and not memory.quiet:
                return replace(memory, spoke=True)
            case Key() | Voice():
                pass
            case _:
                turn.ignore("unhandled")
        return memory

    # -- what the agent asks for

    def _feature(self, turn: Turn, memory: BridgeMemory, name: str) -> BridgeMemory:
        if name == BACK:
            if memory.stage == HOLDING or memory.stage in CONSENT:
                return self._settle(turn, self._untimed(turn, replace(memory, back=True)))
            turn.ignore("nobody is on hold")
            return memory
        if memory.stage != TALKING:
            turn.ignore("the caller is listening to us already")
            return memory
        feature = turn.staff.features.get(name)
        if feature is not None and feature.holds:
            question = feature.asks or self.ask
            turn.say(question, voice=True)
            return replace(memory, stage=ASKING, quiet=False, question=question)
        if feature is None or not feature.says:
            return self._resume(turn, memory)
        if feature.keeps and not turn.slot(f"kept_{feature.keeps}"):
            return self._keep(turn, memory, feature)
        times = dict(memory.heard).get(name, 0)
        last = feature.is_last(times)
        if feature.ends:
            turn.note(name, "ended" if last else "warned")
        turn.say(feature.saying(times), voice=False)
        more = {name: times + 1} if times + 1 < len(feature.says) else {}
        heard = tuple(sorted((dict(memory.heard) | more).items()))
        return replace(memory, stage=ENDING if last else SENTENCE, quiet=False, heard=heard)

    # -- what is kept for somebody else to see to

    def _keep(self, turn: Turn, memory: BridgeMemory, feature: Feature) -> BridgeMemory:
        """The report is stored before the caller is told so; who cannot be called back is asked
        for a number when the two have talked."""
        turn.set("reporter", memory.agent)
        known = (turn.slot("contact"), turn.slot("caller"))
        contact = next((one for one in known if may_call_back(one, turn.numbers)), "")
        if not contact:
            turn.set("owed", feature.keeps)
            turn.note(feature.name, "owed")
            turn.say(self.stay, voice=False)
            return replace(memory, stage=SENTENCE, quiet=False)
        values = (("contact", contact), *((n, turn.slot(n)) for n in self.keeps if turn.slot(n)))
        keep = turn.keep(feature.keeps, values, ANSWER)
        turn.listen(STORING)  # we have the caller's ear, and nothing to say yet
        return replace(memory, stage=KEEPING, quiet=False, keep=keep, keeping=feature.name)

    def _kept(self, turn: Turn, memory: BridgeMemory, event: Stored | StoreFailed) -> BridgeMemory:
        said = self.lost
        turn.set("reporter", "")  # what the caller says later is the caller's own
        if isinstance(event, Stored):
            feature = turn.staff.features[memory.keeping]
            turn.set(f"kept_{feature.keeps}", "yes")
            turn.note(feature.name, "kept")
            said = feature.saying(0) if event.promised else self.refused
        memory = replace(memory, keep=0, keeping="", then=said)
        return memory if memory.spoke else self._told(turn, memory)

    def _told(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        """Nobody speaks: the caller is told what was kept, as soon as it is."""
        if not memory.then:
            turn.listen(STORING)
            return memory
        turn.say(memory.then, voice=False)
        return replace(memory, stage=SENTENCE, then="")

    # -- what follows when nothing is being said

    def _said(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        if memory.stage == HEARING:
            memory = replace(memory, spoken=memory.spoken + 1)
            if memory.spoken >= TIMES_SPOKEN:
                return self._refused(turn, memory)
        if memory.stage == ENDING:
            turn.fire("ended")
            return memory
        if memory.stage in (SENTENCE, THANKING):
            return self._resume(turn, memory)
        if memory.gone or memory.back or memory.abandoned:
            return self._settle(turn, memory)
        if memory.stage in (ASKING, HEARING):
            turn.say(self.hint, voice=True)
            return replace(memory, stage=HINT, quiet=False)
        if memory.stage == HINT:
            turn.listen(self.pause)
            return replace(memory, stage=PAUSE)
        turn.music(self.music)
        return memory

    def _settle(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        """The agent is back, or gone: once nothing is being said, the caller is given back, with a
        word of apology if there was a hold and there is an agent."""
        if not memory.quiet or memory.stage == TALKING:
            return memory
        memory = self._untimed(turn, memory)
        if memory.stage == HOLDING and not memory.gone and not memory.abandoned:
            turn.say(self.thanks, voice=False)
            return replace(memory, stage=THANKING, quiet=False)
        return self._resume(turn, memory)

    def _resume(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        turn.resume()
        talking = replace(memory, stage=TALKING, quiet=True, spoke=False, back=False)
        return replace(talking, question="", asked=0, spoken=0)

    # -- consent, and the hold

    def _answer(self, turn: Turn, memory: BridgeMemory, digit: str) -> BridgeMemory:
        if digit == "2":
            return self._refused(turn, memory)
        if digit == "*":
            turn.say(memory.question, voice=True)
            return replace(memory, stage=ASKING, quiet=False)
        if digit != "1":
            return self._ask_again(turn, memory)
        turn.note("consent", "given")
        if memory.gone or memory.back:
            return self._resume(turn, memory)
        turn.say(self.begin, voice=False)
        return replace(
            memory,
            stage=HOLDING,
            quiet=False,
            question="",
            sign=turn.set_timer("sign_of_life", self.every),
            limit=turn.set_timer("limit", turn.staff.transfer.hold_limit),
        )

    def _ask_again(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        """Silence is no consent; who does not answer talks on."""
        memory = replace(memory, asked=memory.asked + 1)
        if memory.asked >= self.silence_prompts:
            return self._refused(turn, memory)
        turn.say(memory.question, voice=True)
        return replace(memory, stage=ASKING, quiet=False)

    def _refused(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        turn.note("consent", "refused")
        return self._resume(turn, memory)

    def _abandon(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        """The agent does not come back from a hold."""
        turn.note("hold", "abandoned")
        turn.cancel_ring(memory.leg)
        turn.release(memory.agent, "dropped")
        return self._settle(turn, replace(memory, leg=0, agent="", abandoned=True))

    def _untimed(self, turn: Turn, memory: BridgeMemory) -> BridgeMemory:
        turn.cancel_timer(memory.sign)
        turn.cancel_timer(memory.limit)
        return replace(memory, sign=0, limit=0)

    # -- the end

    def _over(self, turn: Turn, memory: BridgeMemory, event: BridgeOver) -> BridgeMemory:
        if event.reason == "failed":
            # the two were never joined, so nobody else hangs this agent up
            turn.cancel_ring(memory.leg)
        else:
            turn.forget(memory.leg)
        turn.set("talked", str(round(event.talked)))
        if memory.agent:
            turn.release(memory.agent, "failed" if event.reason == "failed" else "talked")
        if memory.abandoned:
            turn.fire("abandoned")
        else:
            turn.fire("failed" if event.reason == "failed" else "over")
        return replace(memory, bridge=0, leg=0, agent="")

    def leave(self, turn: Turn, memory: BridgeMemory) -> None:
        turn.forget(memory.keep)
        turn.cancel_timer(memory.sign)
        turn.cancel_timer(memory.limit)
        turn.forget(memory.bridge)
        turn.cancel_ring(memory.leg)
        if memory.agent:
            turn.release(memory.agent, "talked")


@dataclass(frozen=True, slots=True)
class LetGo(Activity):
    """The agent who waits to be bridged is let go: there is nobody to talk to after all."""

    name: ClassVar[str] = "let_go"
    on_the_line: ClassVar[bool] = False

    def triggers(self) -> frozenset[str]:
        return frozenset({"next"})

    def enter(self, turn: Turn) -> Memory:
        turn.cancel_ring(turn.leg)
        if turn.slot("agent"):
            turn.release(turn.slot("agent"), "free")
            turn.set("agent", "")
        turn.fire("next")
        return Memory()
