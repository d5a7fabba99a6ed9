"""Every order in which things may happen to a call, tried: to closure, or to a bound.

Rules this module keeps:

- Pure: the real `call.step` on a real line, against an abstract world (`ivr.outside`, what is held;
  `ivr.chances`, what may happen). No clock, no file; whoever wants to see progress passes a
  function in.
- The first thing found wrong is told as the shortest way there: events with the actions that
  followed. What must hold (`ivr.explored`):
    1. nothing is asked of the world that must never be asked (`ivr.outside.Wrong`);
    2. a call that is over holds nothing: no place, claim, leg, conversation, timer or lookup, and
       holds no place, claim or leg where it leaves the flows that are explored;
    3. a call ends by the caller's hanging up or by ours; who wished for a person was connected, or
       has left contact, or has been asked for it;
    4. a caller who hears music has a timer running that makes us speak, and the wait go on;
    5. nothing is awaited that can never come, and no answer reaches an activity that never asked;
    6. from every state the call comes to its end by what is sure to happen alone, though nobody,
       neither caller nor agent nor back end, ever does anything;
    7. if it is `watched`: no rule of good manners is broken on the way to an ending.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from ivr import etiquette
from ivr.actions import Action
from ivr.call import Call, step
from ivr.chances import PHONE, World, chances
from ivr.events import Event, Offered, Reached
from ivr.explored import (
    FIRST_ID,
    Key,
    Node,
    Turn,
    Violation,
    astray,
    crossing,
    ending,
    happen,
    key,
    leaving,
    sign_of_life,
)
from ivr.flow import Line
from ivr.outside import Outside, Wrong

OVER: Key = ("over",)
"""All calls that are over are one state."""
UNTIMED = tuple(
    make
    for make in etiquette.MONITORS
    if make.__name__ not in ("Silences", "SignsOfLife", "HoldLimit")
)
"""The rules that need no clock."""
TICK = 1000
"""So many states between two words of progress."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is explored: from the first moment in the flow `begin` (the beginning of the call if
    empty; `advice > transfer`: inside of both), until the call is over or in one of the flows
    `until` that it did not begin in; at most `most` states, at most `depth` events deep (0 for no
    limit)."""

    begin: str = ""
    until: frozenset[str] = frozenset()
    most: int = 1_000_000
    depth: int = 0
    world: World = field(default_factory=World)
    watched: bool = False
    """Whether the way to each ending is also held against the rules of `ivr.etiquette`, but for
    those that are about lengths of time."""


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


def call_backs() -> Iterator[Reached]:
    """The calls we make: an agent waits for the person reached, or waits no more."""
    yield Reached(FIRST_ID + 1, (("agent", "801"), ("kind", "person")))
    yield Reached(0, (("kind", "person"),))


def explore(
    line: Line,
    scope: Scope,
    offered: Iterable[Event],
    progress: Callable[[int, int], None] = lambda states, waiting: None,
) -> Exploration:
    """Try everything within `scope`, from each of the calls `offered`. Raises NotReached."""
    search = _Search(line, scope, progress)
    for offer in offered:
        search.begin(offer)
    return search.run()


# ---------------------------------------------------------------- the search


class _Search:
    """Breadth first, so that the first way found is the shortest."""

    def __init__(self, line: Line, scope: Scope, progress: Callable[[int, int], None]) -> None:
        self.line, self.scope, self.progress = line, scope, progress
        self.until = scope.until
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

    def begin(self, offer: Event) -> None:
        way: tuple[Event, ...] = (offer,)
        if self.scope.begin:
            way = reach(self.line, offer, self.scope.begin)
        node = Node(Call(last_id=FIRST_ID), Outside())
        for event in way:
            node, _ = happen(self.line, node, event)
        # the flows that it begins in are within the scope, whatever else is not
        self.until -= {frame.flow for frame in node.call.frames}
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
        return any(frame.flow in self.until for frame in call.frames)

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
                    speaks = speaks or sign_of_life(node.call, event, after.call, wishes)
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
            if self.scope.watched and (after.call.over or self.outside_scope(after.call)):
                broken = self.watch(number, chance.events)
                if broken:
                    self.fail(broken, number, chance.events)
                    return
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

    def watch(self, number: int, then: tuple[Event, ...]) -> str:
        """The first rule that is broken on the way to this ending, empty if none is."""
        monitors = [make(self.line, 0.0) for make in UNTIMED]
        for turn in tell(self.line, self.way(number, then)):
            happened: tuple[Event | Action, ...] = (turn.event, *turn.actions)
            for monitor in monitors:
                for what in happened:
                    monitor.see(0.0, what)
        broken = (mark for one in monitors for mark in one.marks if not mark.kept)
        return next((str(mark) for mark in broken), "")

    def way(self, number: int, then: tuple[Event, ...]) -> list[Event]:
        """The shortest way to this state, and on."""
        way = list(then)
        while (parent := self.came[number][0]) >= 0:
            way = [*self.came[number][1], *way]
            number = parent
        return [*self.starts[number], *way]

    def fail(self, what: str, number: int, then: tuple[Event, ...]) -> None:
        self.violation = Violation(what, tuple(tell(self.line, self.way(number, then))))


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


def reach(line: Line, offer: Event, flow: str, most: int = 20_000) -> tuple[Event, ...]:
    """The shortest way from a call's beginning into `flow`, everybody being polite. Raises
    NotReached."""
    wanted = {name.strip() for name in flow.split(">")}
    if not wanted <= set(line.flows):
        raise NotReached(f"there is no flow '{flow}': choose from {', '.join(sorted(line.flows))}")
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
