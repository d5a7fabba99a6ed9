"""The good manners of every call: greeting, silence, listening, keeping one's word, parting.

Rules this module keeps:

- Pure, like all monitors (`ivr.monitor`).
- Prompts are known by the names that flows give them; wording is the lines' own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ivr.actions import (
    Action,
    Bridge,
    Foreground,
    HangUp,
    JoinLine,
    Keep,
    LookUp,
    Music,
    Note,
    RingAgent,
    Say,
)
from ivr.events import (
    Answered,
    EndAsked,
    Event,
    HeardOut,
    HungUp,
    Key,
    Noise,
    Offered,
    Recorded,
    Said,
    Silence,
    Stored,
    StoreFailed,
    Voice,
)
from ivr.monitor import GOODBYES, Monitor
from ivr.speaking import Ladder, Step

PAUSE_TOLERANCE = 0.1
"""How exact a pause of a ladder is on a real line, in seconds."""
RECORDED = frozenset({"message.no_contact", "intake.thanks", "suggestion.thanks"})
"""Prompts besides `message.kept.…` that say that something has been recorded."""
SIGNS = frozenset({"hold.still_here", "transfer.still_here", "transfer.position"})
"""Signs of life, which come whatever else is happening."""
ANSWERS = ("answer.", "handling.", "query.")
"""How the names of prompts begin that answer what the caller came for."""
LAST_WORDS = frozenset(
    {"unclear.again", "unclear.goodbye"}
    | {f"callback.{name}" for name in ("goodbye", "rate", "sorry", "unconfirmed", "wrong")}
)
"""Prompts after which the documents themselves tell us to hang up, and the goodbyes of our own
calls."""


@dataclass(slots=True)
class Rings(Monitor):
    """Answered before the third ring; at the least, within three."""

    clauses = ("XJCA-5a", "LKL-1.1", "INF-1")
    watches = (Answered,)

    def see(self, at: float, what: Event | Action) -> None:
        if isinstance(what, Answered):
            limit = 2 * self.line.ring_cycle
            kept = what.rung < limit + self.slack
            self.mark(
                kept, at, f"answered after {what.rung:.2f} s of ringing, before {limit:g} asked"
            )


@dataclass(slots=True)
class Late(Monitor):
    """Three rings or more: the apology takes the place of the opening, and only then."""

    clauses = ("XJCA-6.2a", "EMS-14", "LKL-5.1")
    watches = (Answered, Say)
    rung: float | None = None

    def see(self, at: float, what: Event | Action) -> None:
        if isinstance(what, Answered):
            self.rung = what.rung
        elif isinstance(what, Say) and self.rung is not None:
            late = self.rung >= self.line.late_at
            if late or what.prompt == "opening.late":
                kept = late == (what.prompt == "opening.late")
                kept = kept or what.prompt.startswith("maintenance.")
                self.mark(kept, at, f"'{what.prompt}' after {self.rung:.2f} s of ringing")
            self.rung = None


@dataclass(slots=True)
class Silences(Monitor):
    """Nobody who is silent is hung up on before the whole ladder, with its pauses to the tenth of
    a second; and nothing else is said, unless the line gives the menu to those it cannot hear."""

    clauses = ("XJCA-6.1c", "EMS-2", "LKL-7.3", "INF-5", "INF-6", "INF-8")
    watches = (Say, Said, Noise, Key, Voice, HungUp, EndAsked, Recorded, HangUp)
    said: list[tuple[float, str]] = field(default_factory=list)
    paused: list[tuple[float, float]] = field(default_factory=list)
    ended: float | None = None
    heard: bool = False
    noisy: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt=prompt):
                if self.ended is not None:
                    self.paused.append((self.ended, at - self.ended))
                    self.ended = None
                self.said.append((at, prompt))
            case Said():
                self.ended = at
            case Noise():
                self.noisy = self.noisy or self._in_the_ladder()
            case Key() | Voice() | HungUp() | EndAsked():
                self.heard = True
            case Recorded(recording=recording) if recording:
                self.heard = True
            case HangUp():
                if not self.heard:
                    if self.ended is not None:
                        self.paused.append((self.ended, at - self.ended))
                    self._judge(at)
                self.heard = True
            case _:
                pass

    def _in_the_ladder(self) -> bool:
        """Nothing has been said yet but the greeting and what belongs to the ladders."""
        rest = [prompt for _, prompt in self.said[1:]]
        return all(name.startswith(("opening", "silence.", "noise.")) for name in rest)

    def _judge(self, at: float) -> None:
        flow = self.line.flows["opening"]
        first = flow.states["greeting"].activity
        noisy = flow.states["noisy"].activity
        assert isinstance(first, Ladder)
        assert isinstance(noisy, Ladder)
        steps = first.steps
        if self.noisy:
            said = sum(1 for _, prompt in self.said if not prompt.startswith("noise."))
            steps = (*steps[:said], *noisy.steps)
        menu_follows = self.line.settings["keys_for_the_unheard"] == "yes"
        if menu_follows and not self.noisy:
            steps = steps[:-1]
        heard = [prompt for _, prompt in self.said]
        wanted = [step.say for step in steps]
        kept = all(_same(got, want) for got, want in zip(heard, wanted, strict=False))
        whole = len(heard) >= len(wanted) if menu_follows else len(heard) == len(wanted)
        kept = kept and whole and self._exact(steps)
        pauses = ", ".join(f"{length:.2f}" for _, length in self.paused)
        self.mark(kept, at, f"silent caller heard {', '.join(heard)}; pauses {pauses} s")

    def _exact(self, steps: tuple[Step, ...]) -> bool:
        tolerance = PAUSE_TOLERANCE if self.slack else 0.001
        lengths = [length for _, length in self.paused]
        return len(lengths) >= len(steps) and all(
            abs(got - step.pause) <= tolerance for got, step in zip(lengths, steps, strict=False)
        )


def _same(heard: str, wanted: str) -> bool:
    return wanted.startswith("{") or heard == wanted


@dataclass(slots=True)
class Goodbye(Monitor):
    """We hang up only after a goodbye, or where a document says so; after a goodbye only the
    lingering sequence is said, or an answer to a caller who does something."""

    clauses = ("LKL-B1", "XJCA-5c2", "XJCA-6.5b")
    watches = (Say, Key, Voice, Stored, HangUp)
    last: str = ""
    parted: bool = False
    answered: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt=prompt):
                if self.parted and not self.answered:
                    kept = prompt in GOODBYES or prompt == "closing.anything_else"
                    kept = kept or prompt.startswith("hint.")
                    self.mark(kept, at, f"'{prompt}' after the goodbye")
                self.last = prompt
                self.parted = self.parted or prompt in GOODBYES
                self.answered = self.answered and prompt not in GOODBYES
            case Key() | Voice() | Stored():
                self.answered = True
            case HangUp():
                ladder = self.last.startswith(("silence.", "noise."))
                kept = self.last in GOODBYES or self.last in LAST_WORDS or ladder or not self.last
                kept = kept or self._ladder_end() or self._harassed()
                self.mark(kept, at, f"we hung up after '{self.last}'")
            case _:
                pass

    def _harassed(self) -> bool:
        """The last word to who has been warned holds the goodbye (EMS-3, LKL-7.4)."""
        features = self.line.staff.features.values()
        return self.last in {one.says[-1] for one in features if one.ends}

    def _ladder_end(self) -> bool:
        greeting = self.line.flows["opening"].states["greeting"].activity
        return isinstance(greeting, Ladder) and greeting.steps[-1].say == self.last


@dataclass(slots=True)
class HeardOutFirst(Monitor):
    """No prompt begins while the caller is speaking: but for the goodbye when ops end the call, and
    the sign of life of those who wait, which comes whatever else is happening."""

    clauses = ("LKL-B1", "EMS-7", "TEL-2.3b")
    watches = (Voice, HeardOut, Key, HungUp, Recorded, Silence, EndAsked, Bridge, Say, Music)
    speaking: bool = False
    waiting: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Voice() if not self.waiting:
                self.speaking = True
            case HeardOut() | Key() | HungUp() | Recorded() | Silence() | EndAsked():
                self.speaking = False
            case Bridge():
                self.speaking = False
            case Say(prompt=prompt) if prompt in SIGNS:
                self.waiting = False
            case Music():
                self.speaking, self.waiting = False, True
            case Say(prompt=prompt):
                self.waiting = False
                if self.speaking:
                    self.mark(False, at, f"'{prompt}' began while the caller was speaking")
            case _:
                pass


@dataclass(slots=True)
class KeptBeforePromised(Monitor):
    """What the caller is told is recorded has been stored before. What an agent reports by a code,
    and may say again, is watched by a rule of its own (`ivr.manners_reports`)."""

    clauses = ("EMS-16", "LKL-5.5", "XJCA-6.4d")
    watches = (Stored, Say)
    stored: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Stored():
                self.stored = True
            case Say(prompt=prompt) if prompt in RECORDED or prompt.startswith("message.kept."):
                if prompt not in self.line.staff.prompts:
                    self.mark(self.stored, at, f"'{prompt}'; stored before: {self.stored}")
                    self.stored = False
            case _:
                pass


@dataclass(slots=True)
class AskedBeforeGoodbye(Monitor):
    """Anything else? comes before thanks and goodbye."""

    clauses = ("XJCA-6.5a", "EMS-19", "LKL-5.9")
    watches = (Say, Note)
    asked: bool = False
    excused: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt="closing.anything_else"):
                self.asked = True
            case Note(key="kind", value="wrong_number") | Note(key="ended_by", value="ops"):
                self.excused = True
            case Say(prompt=prompt) if prompt in GOODBYES and not self.excused:
                self.mark(self.asked, at, f"'{prompt}'; asked before: {self.asked}")
            case _:
                pass


@dataclass(slots=True)
class ConfirmedFirst(Monitor):
    """A number keyed in is read back and confirmed before anything is looked up with it."""

    clauses = ("TEL-2.3", "EMS-6")
    watches = (Say, Key, LookUp)
    asked: bool = False
    confirmed: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Say(prompt="query.read_back"):
                self.asked, self.confirmed = True, False
            case Key(digit=digit) if self.asked:
                self.asked, self.confirmed = False, digit == "1"
            case LookUp(name=name):
                self.mark(self.confirmed, at, f"lookup '{name}'; confirmed: {self.confirmed}")
                self.confirmed = False
            case _:
                pass


@dataclass(slots=True)
class AskedOnce(Monitor):
    """Who is calling is asked only of those the line does not know yet; and who agreed to be asked
    is written down before anything is answered."""

    clauses = ("INF-4",)
    watches = (Offered, Say, Keep, Stored, StoreFailed)
    known: bool = False
    asked: bool = False
    keeping: int = 0

    def see(self, at: float, what: Event | Action) -> None:
        match what:
            case Offered(known=known, addressee=addressee):
                self.known = known or bool(addressee)
            case Say(prompt="intake.consent"):
                self.mark(not self.known, at, f"asked who is calling; known before: {self.known}")
            case Say(prompt="intake.name"):
                self.asked = True
            case Keep(id=number, kind="caller"):
                self.keeping = number
            case Stored(id=number) | StoreFailed(id=number) if number == self.keeping:
                self.asked = False
            case Say(prompt=prompt) if self.asked and prompt.startswith(ANSWERS):
                self.mark(False, at, f"'{prompt}' before it was stored who is calling")
            case _:
                pass


@dataclass(slots=True)
class NothingToTheDead(Monitor):
    """Nothing is said to a caller who is gone."""

    clauses = ("LKL-B1",)
    watches = (HungUp, Foreground, JoinLine, RingAgent)
    gone: bool = False

    def see(self, at: float, what: Event | Action) -> None:
        if isinstance(what, HungUp):
            self.gone = True
        elif isinstance(what, Foreground | JoinLine | RingAgent) and self.gone:
            self.mark(False, at, f"{type(what).__name__} after the caller had hung up")
