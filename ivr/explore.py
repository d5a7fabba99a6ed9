"""Every order in which things may happen to a call, tried: to closure, or to a bound.

Rules this module keeps:

- Pure: the real `call.step` on a real line, against an abstract world (`ivr.outside`, what is held;
  `ivr.chances`, what may happen). No clock, no file; whoever wants to see progress passes a
  function in.
- States that differ only in their ids are one: ids are renumbered before two states are compared.
  They begin at a thousand, where no counter of an activity ever comes, so that they can be told.
- The first thing found wrong is told as the shortest way there: events with the actions that
  followed. What must hold:
    1. nothing is asked of the world that must never be asked (`ivr.outside.Wrong`);
    2. a call that is over holds nothing: no place, claim, leg, conversation, timer or lookup, and
       holds no place, claim or leg where it leaves the flows that are explored;
    3. a call ends by the caller's hanging up or by ours; who wished for a person was connected, or
       has left contact, or has been asked for it;
    4. a caller who hears music has a timer running that makes us speak, and the wait go on;
    5. nothing is awaited that can never come, and no answer reaches an activity that never asked;
    6. from every state the call comes to its end by what is sure to happen alone, though nobody,
       neither caller nor agent nor back end, ever does anything.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any

from ivr import actions, events
from ivr.actions import Action
from ivr.call import Call, step
from ivr.chances import PHONE, World, chances
from ivr.events import Event, Offered
from ivr.flow import Line
from ivr.outside import Outside, Wrong

OVER: tuple[Any, ...] = ("over",)
FIRST_ID = 1000
"""Ids begin after this; no counter in an activity's memory comes as far."""
FOR_WISHES = frozenset({"message", "transfer"})
"""The flows in which callers leave contact, or are brought to a person."""
TICK = 1000
"""So many states between two words of progress."""


@dataclass(frozen=True, slots=True)
class Node:
    """A state of everything: the call, and what it holds outside."""

    call: Call
    outside: Outside


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that happened, and what the call asked for then; for people."""

    event: Event
    actions: tuple[Action, ...]
    where: str

    def __str__(self) -> str:
        told = [f"{self.event!r}   [{self.where or 'over'}]"]
        return "\n".join(told + [f"      {action!r}" for action in self.actions])


@dataclass(frozen=True, slots=True)
class Violation:
    """What is wrong, and the shortest way there."""

    what: str
    way: tuple[Turn, ...]

    def __str__(self) -> str:
        turns = (f"{number:3}. {turn}" for number, turn in enumerate(self.way, 1))
        return "\n".join((self.what, *turns))


@dataclass(frozen=True, slots=True)
class Scope:
    """What is explored: from the first moment in the flow `begin` (the beginning of the call if
    empty; `advice > transfer`: inside of both), until the call is over or in one of the flows
    `until`; at most `most` states, at most `depth` events deep (0 for no limit)."""

    begin: str = ""
    until: frozenset[str] = frozenset()
    most: int = 1_000_000
    depth: int = 0
    world: World = field(default_factory=World)


@dataclass(frozen=True, slots=True)
class Exploration:
    """What came of it. `closed`: every state within the scope was tried. `ends`: how many
    of the steps ended the call; `left`: states in which it left the scope; `deepest` in events."""

    states: int
    steps: int
    ends: int
    left: int
    deepest: int
    closed: bool
    violation: Violation | None = None


class NotReached(Exception):
    """No way leads to the flow where the exploration should begin."""


def offers(line: Line) -> Iterator[Offered]:
    """The calls that differ from the beginning: known or withheld number, open or closed."""
    number = next(iter(line.numbers))
    for opened in (True, False):
        for caller in (PHONE, ""):
            yield Offered(number, caller=caller, open=opened)


def explore(
    line: Line,
    scope: Scope,
    offered: Iterable[Offered],
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> Exploration:
    """Try everything within `scope`, from each of the calls `offered`. Raises NotReached."""
    search = _Search(line, scope, progress)
    for offer in offered:
        search.begin(offer)
    return search.run()


# ---------------------------------------------------------------- one step


def happen(line: Line, node: Node, event: Event) -> tuple[Node, tuple[Action, ...]]:
    """What follows when `event` happens. Raises Wrong, and what `step` raises."""
    outside = node.outside.told(event)
    call, wishes = step(line, node.call, event)
    for wish in wishes:
        outside = outside.asked(wish)
    return Node(call, outside), wishes


def ending(node: Node) -> str:
    """What is wrong with the way this call ended, empty if nothing is."""
    outside = node.outside
    left = ", ".join(outside.left_over())
    if left:
        return f"the call is over and still holds {left}"
    if not outside.gone and not outside.ended:
        return "the call is over, and nobody has hung up"
    if outside.ended and outside.wished and not outside.served:
        return "a caller who wished for a person was sent away with nothing"
    return ""


def leaving(node: Node) -> str:
    """What is wrong with a call that leaves the flows that are explored; empty if nothing is."""
    outside = node.outside
    asked = any(frame.flow in FOR_WISHES for frame in node.call.frames)
    left = ", ".join(outside.held())
    if left:
        return f"the call goes on elsewhere and still holds {left}"
    if outside.wished and not outside.served and not asked:
        return "a caller who wished for a person is led on with nothing"
    return ""


def crossing(line: Line, before: Node, after: Node) -> str:
    """What is wrong if something crosses what the call has just done: an agent is claimed for it
    at the very moment when it leaves the waiting line, and must be given back; or the agent's
    hanging up is told when the conversation is over, and must do nothing. Empty if all is well."""
    gone = [leg.agent for leg in before.outside.legs if leg.stage == "bridged"]
    if gone and before.outside.bridge and not after.outside.bridge:
        _, wishes = step(line, after.call, events.AgentGone(gone[0]))
        if any(not isinstance(wish, actions.Ignored) for wish in wishes):
            return "an agent's hanging up, told after the conversation, does something"
    place = before.outside.place
    if not place or after.outside.place or before.outside.claims or after.outside.claims:
        return ""
    _, wishes = step(line, after.call, events.Claimed(place, "late"))
    if actions.Release("late", "free") in wishes:
        return ""
    return "an agent claimed just as the call left the waiting line is never given back"


GIVEN_BACK = (
    events.TimerFired,
    events.Found,
    events.NotFound,
    events.LookupFailed,
    events.Surveyed,
    events.Progress,
    events.Unstaffed,
    events.AgentAccepted,
    events.AgentFailed,
    events.BridgeOver,
)
"""Answers to what must be given up when its state is left: nobody else knows what to do with them.
(What is stored is stored, whoever hears of it; and a prompt may end in the next state.)"""


def astray(event: Event, wishes: tuple[Action, ...]) -> str:
    """What is wrong with an answer that reached an activity which never asked for it; empty if
    nothing is."""
    if isinstance(event, GIVEN_BACK) and actions.Ignored("unhandled") in wishes:
        return f"{type(event).__name__} reaches an activity that did not ask for it"
    return ""


def _sign_of_life(before: Call, event: Event, after: Call, wishes: tuple[Action, ...]) -> bool:
    """Whether a timer has made us speak, and the wait goes on."""
    says = any(isinstance(wish, actions.Say) for wish in wishes)
    return isinstance(event, events.TimerFired) and says and before.where == after.where


# ---------------------------------------------------------------- comparing


Key = tuple[Any, ...]
"""What is the same for two states that differ only in their ids."""


def key(node: Node) -> Key:
    """This state with its ids renumbered in their order; hashable, there only to be compared."""
    call, outside = node.call, node.outside
    numbers = sorted({*call.awaited, call.foreground, call.leg, *outside.ids()} - {0})
    names = {number: rank for rank, number in enumerate(numbers, 1)}
    top = call.last_id
    return (
        tuple(
            (frame.flow, frame.state, _renamed(frame.memory, names, top)) for frame in call.frames
        ),
        tuple((name, _slot(value, names, top)) for name, value in call.slots),
        (
            call.pending,
            call.saying,
            call.gone,
            names.get(call.foreground, 0),
            names.get(call.leg, 0),
        ),
        tuple(names[number] for number in call.awaited),
        outside.key(names),
    )


def _renamed(value: Any, names: Mapping[int, int], top: int) -> Any:
    """A memory as a tuple; whatever in it is an id has its new number."""
    if isinstance(value, int):
        return names.get(value, 0) if FIRST_ID < value <= top else value
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return tuple([_renamed(item, names, top) for item in value])
    return tuple([_renamed(getattr(value, name), names, top) for name in _fields(value.__class__)])


@cache
def _fields(kind: Any) -> tuple[str, ...]:
    assert is_dataclass(kind)
    return tuple(one.name for one in fields(kind))


def _slot(value: str, names: Mapping[int, int], top: int) -> str:
    """A slot may hold an id, written in digits."""
    if value.isdecimal() and value.isascii() and FIRST_ID < int(value) <= top:
        return str(names.get(int(value), 0))
    return value


# ---------------------------------------------------------------- the search


class _Search:
    """Breadth first, so that the first way found is the shortest."""

    def __init__(self, line: Line, scope: Scope, progress: Callable[[int, int], None]) -> None:
        self.line, self.scope, self.progress = line, scope, progress
        self.known: dict[Key, int] = {}
        self.waiting: deque[tuple[int, Node]] = deque()
        self.came: list[tuple[int, tuple[Event, ...]]] = []
        self.starts: dict[int, tuple[Event, ...]] = {}
        self.depth = array("I")
        self.good = bytearray()
        """For each state: 1 if the call is over or out of the scope there, or it is not tried."""
        self.sources, self.targets = array("I"), array("I")
        self.steps = self.ends = self.left = 0
        self.violation: Violation | None = None

    # -- where it begins

    def begin(self, offer: Offered) -> None:
        way: tuple[Event, ...] = (offer,)
        if self.scope.begin:
            way = reach(self.line, offer, self.scope.begin)
        node = Node(Call(last_id=FIRST_ID), Outside())
        for event in way:
            node, _ = happen(self.line, node, event)
        self.starts.setdefault(self.add(node, -1, ()), way)

    # -- states

    def add(self, node: Node, parent: int, came: tuple[Event, ...]) -> int:
        """The number of this state. All calls that are over are one state."""
        same = OVER if node.call.over else key(node)
        number = self.known.get(same)
        if number is None:
            number = self.known[same] = len(self.came)
            self.came.append((parent, came))
            self.depth.append(0 if parent < 0 else self.depth[parent] + 1)
            over = node.call.over or (parent >= 0 and self.outside_scope(node.call))
            self.good.append(over)
            self.left += over and not node.call.over
            if not over:
                self.waiting.append((number, node))
        return number

    def outside_scope(self, call: Call) -> bool:
        return any(frame.flow in self.scope.until for frame in call.frames)

    # -- going on

    def run(self) -> Exploration:
        bound = self.scope.depth
        while self.waiting and self.violation is None and len(self.came) < self.scope.most:
            number, node = self.waiting.popleft()
            if bound and self.depth[number] >= bound:
                self.good[number] = 1
                continue
            self.expand(number, node)
            if number % TICK == 0:
                self.progress(len(self.came), len(self.waiting))
        closed = not self.waiting and not (bound and max(self.depth, default=0) >= bound)
        if self.violation is None:
            for number, _ in self.waiting:
                self.good[number] = 1
            self.find_traps()
        deepest = max(self.depth, default=0)
        states = len(self.came)
        return Exploration(
            states, self.steps, self.ends, self.left, deepest, closed, self.violation
        )

    def expand(self, number: int, node: Node) -> None:
        speaks = False
        for chance in chances(self.line, node.call, node.outside, self.scope.world):
            self.steps += 1
            after, wrong = node, ""
            try:
                for event in chance.events:
                    after, wishes = happen(self.line, after, event)
                    wrong = wrong or astray(event, wishes)
                    speaks = speaks or _sign_of_life(node.call, event, after.call, wishes)
                    if after.call.over:
                        break
                wrong = wrong or self.judge(after) or crossing(self.line, node, after)
            except Wrong as error:
                wrong = str(error)
            except Exception as error:
                # any error of the machine's is a thing found, and is told with the way there
                wrong = f"the machine fails: {error!r}"
            if wrong:
                self.fail(wrong, number, chance.events)
                return
            self.ends += after.call.over
            target = self.add(after, number, chance.events)
            if chance.sure and target != number:
                self.sources.append(number)
                self.targets.append(target)
        if node.outside.on_hold and not speaks:
            self.fail("the caller hears music, and no timer will make us speak", number, ())

    def judge(self, node: Node) -> str:
        if node.call.over:
            return ending(node)
        if set(node.call.awaited) - set(node.outside.ids()):
            return "the call awaits an answer that can never come"
        if self.outside_scope(node.call):
            return leaving(node)
        return ""

    def find_traps(self) -> None:
        """Whether from every state a good one is reached by what is sure to happen."""
        before: dict[int, list[int]] = {}
        for source, target in zip(self.sources, self.targets, strict=True):
            before.setdefault(target, []).append(source)
        saved = bytearray(self.good)
        left = [number for number, good in enumerate(saved) if good]
        while left:
            for source in before.get(left.pop(), ()):
                if not saved[source]:
                    saved[source] = 1
                    left.append(source)
        trapped = saved.find(0)
        if trapped >= 0:
            self.fail("from here nothing that is sure to happen ends the call", trapped, ())

    # -- telling

    def fail(self, what: str, number: int, then: tuple[Event, ...]) -> None:
        way = list(then)
        while True:
            parent, came = self.came[number]
            if parent < 0:
                way = [*self.starts[number], *way]
                break
            way = [*came, *way]
            number = parent
        self.violation = Violation(what, tuple(tell(self.line, way)))


def tell(line: Line, way: Iterable[Event]) -> Iterator[Turn]:
    """What happened on this way, event by event, as far as the machine goes."""
    call = Call(last_id=FIRST_ID)
    for event in way:
        try:
            call, wishes = step(line, call, event)
        except Exception as error:
            yield Turn(event, (), f"fails: {error!r}")
            return
        yield Turn(event, wishes, call.where if not call.over else "")
        if call.over:
            return


def reach(line: Line, offer: Offered, flow: str, most: int = 20_000) -> tuple[Event, ...]:
    """The shortest way from a call's beginning into `flow`, everybody being polite. Raises
    NotReached."""
    wanted = {name.strip() for name in flow.split(">")}
    if not wanted <= set(line.flows):
        raise NotReached(f"there is no flow '{flow}'")
    start = Node(Call(last_id=FIRST_ID), Outside())
    world = replace(World(), polite=True)
    known = {key(start)}
    waiting: deque[tuple[Node, tuple[Event, ...]]] = deque()
    first, _ = happen(line, start, offer)
    waiting.append((first, (offer,)))
    while waiting and len(known) < most:
        node, way = waiting.popleft()
        if wanted <= {frame.flow for frame in node.call.frames}:
            return way
        for chance in chances(line, node.call, node.outside, world):
            after = node
            for event in chance.events:
                after, _ = happen(line, after, event)
            same = key(after)
            if same not in known and not after.call.over:
                known.add(same)
                waiting.append((after, (*way, *chance.events)))
    raise NotReached(f"no way leads from the first ring into the flow '{flow}'")
