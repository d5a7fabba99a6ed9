"""Whatever happens in whatever order, and in several processes at once: one phone, one call, and
first come, first served."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from at_once import after
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from migrated import new
from sqlalchemy import Connection, select, text

from ivr import floor, tables
from ivr.agents import LOCK, Agents, NotClaimed
from ivr.queueing import Claim, Place
from ivr.staff import Agent, Department, Staff, Transfer
from ivr.store import Store

pytest_plugins = ["databases"]

NOON = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)
PHONES = ("801", "802", "803", "804")
DEPARTMENTS = {name: Department(name, name) for name in ("service", "expert")}
TRANSFER = Transfer("service", wrap_up=5.0)


def staff(*agents: tuple[str, str, str]) -> Staff:
    found = {number: Agent(number, phone, tuple(of.split())) for number, phone, of in agents}
    return Staff(DEPARTMENTS, found, TRANSFER)


LINES = {
    "shop": staff(("1", "801", "service expert"), ("2", "802", "service"), ("3", "803", "expert")),
    "bank": staff(("9", "802", "service"), ("8", "804", "service")),
}


class Crowd(RuleBasedStateMachine):
    """Two processes, two lines, four phones of which one serves both lines, and a model that
    remembers who was told to have whom."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = new(Path(self.folder.name) / "test.db")
        self.now = NOON
        self.calls = 0
        self.held: dict[str, Claim] = {}
        self.owner: dict[str, Agents] = {}
        self.places: dict[str, Agents] = {}
        self.processes = [Agents(self.store, name) for name in ("one", "two")]
        for process in self.processes:
            process.sync(LINES, self.now)

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    # -- what may happen

    @rule(phone=st.sampled_from(PHONES), to=st.sampled_from(["ready"] * 4 + ["busy"]))
    def says(self, phone: str, to: str) -> None:
        people = self.processes[0]
        if to == "ready":
            people.set_ready(phone, "phone", self.now)
        else:
            people.set_busy(phone, "phone", self.now)

    @rule(
        who=st.integers(0, 1),
        where=st.sampled_from([("shop", "service"), ("shop", "expert"), ("bank", "service")]),
        wish=st.sampled_from(["", "", "", "1", "9"]),
    )
    def joins(self, who: int, where: tuple[str, str], wish: str) -> None:
        self.calls += 1
        process, call = self.processes[who], f"c{self.calls:03}"
        self.places[process.join(call, 1, *where, wish, self.now)] = process
        self.owner[call] = process

    @rule(who=st.integers(0, 1))
    def matches(self, who: int) -> None:
        process = self.processes[who]
        matched = process.match(self.now, callbacks=("shop", "bank"))
        self.bury()
        phones = {claim.phone for claim in self.held.values()}
        for claim in matched.claims:
            assert claim.call_id not in self.held
            assert claim.phone not in phones
            phones.add(claim.phone)
            self.held[claim.call_id] = claim
            self.owner[claim.call_id] = process
        for name in matched.unstaffed:
            assert self.places.pop(name) is process

    @precondition(lambda self: self.held)
    @rule(
        data=st.data(),
        outcome=st.sampled_from(sorted(floor.OUTCOMES)),
        talks=st.booleans(),
        leaves=st.booleans(),
    )
    def ends(self, data: st.DataObject, outcome: str, talks: bool, leaves: bool) -> None:
        call = data.draw(st.sampled_from(sorted(self.held)))
        claim, process = self.held.pop(call), self.owner[call]
        try:
            if talks:
                process.talking(call, self.now)
            process.release(call, claim.staff_number, outcome, TRANSFER, self.now)
        except NotClaimed:
            # only where the process stood still for so long that others thought it dead
            assert call not in self.mine(process)
        if leaves:
            process.leave(claim.place)
            self.places.pop(claim.place, None)

    @precondition(lambda self: self.places)
    @rule(data=st.data(), ticket=st.booleans())
    def leaves(self, data: st.DataObject, ticket: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.places)))
        self.places.pop(name).leave(name, f"t{name}" if ticket else "")

    @precondition(lambda self: self.owner)
    @rule(data=st.data())
    def forgets(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(sorted(self.owner)))
        process = self.owner[call]
        process.over(call, self.now)
        self.held.pop(call, None)
        self.places = {n: p for n, p in self.places.items() if not n.startswith(f"{call}#")}

    @rule(seconds=st.sampled_from([0.5, 3, 6, 12]))
    def time_goes_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(who=st.integers(0, 1))
    def dies(self, who: int) -> None:
        gone = self.processes[who]
        self.processes[who] = Agents(self.store, f"{gone.owner}'")
        self.processes[who].sync(LINES, self.now)
        self.held = {c: one for c, one in self.held.items() if self.owner[c] is not gone}
        self.owner = {call: process for call, process in self.owner.items() if process is not gone}
        self.places = {name: p for name, p in self.places.items() if p is not gone}

    # -- what is always so

    def rows(self) -> list[tuple[str, str, str, str]]:
        columns = tables.agents.c
        with self.store.read() as connection:
            return [
                tuple(row)
                for row in connection.execute(
                    select(columns.phone, columns.state, columns.call_id, columns.owner)
                )
            ]

    def mine(self, process: Agents) -> dict[str, str]:
        return {call: phone for phone, _, call, owner in self.rows() if owner == process.owner}

    def bury(self) -> None:
        """A claim that others have freed because its process stood still is held no more."""
        held = {call for process in self.processes for call in self.mine(process)}
        self.held = {call: claim for call, claim in self.held.items() if call in held}

    @invariant()
    def what_is_claimed_is_what_calls_were_told(self) -> None:
        rows = self.rows()
        for phone, state, call, owner in rows:
            assert (state in ("ringing", "talking")) == (call is not None)
            if call is not None and owner in [process.owner for process in self.processes]:
                assert self.held[call].phone == phone
        claimed = Counter(call for _, _, call, _ in rows if call is not None)
        assert all(count == 1 for count in claimed.values())

    @rule()
    def nobody_waits_beside_a_free_phone(self) -> None:
        for _ in range(2):
            for who in range(2):
                self.matches(who)
        with self.store.read() as connection:
            seen = floor.read(connection, self.now, self.processes[0].owner, ("shop", "bank"))
        living = {process.owner for process in self.processes}
        for place in seen.in_order():
            if place.owner not in living:
                break  # until it is known to be dead, a phone is kept for its caller
            if not seen.served(place):
                free = [one for one in seen.at_work(place) if seen.phones[one].free]
                assert not set(free) - place.passed.keys()

    @rule()
    def who_came_first_is_first(self) -> None:
        with self.store.read() as connection:
            seen = floor.read(connection, self.now, self.processes[0].owner, ("shop", "bank"))
        served: list[Place] = [place for place, _ in seen.turns()]
        for place in seen.in_order():
            if place in served or seen.served(place) or place.passed:
                continue
            for later in served:  # nobody who came later gets what this one waits for
                alike = (place.hotline, place.department, place.staff_number)
                same = (later.hotline, later.department, later.staff_number) == alike
                assert not same or later.joined_at <= place.joined_at


Crowd.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, derandomize=True
)
TestAnyOrder = Crowd.TestCase


CLAIMING = """
import sys
from datetime import UTC, datetime, timedelta
from ivr.agents import Agents
from ivr.staff import Agent, Department, Staff, Transfer
from ivr.store import Store

url, me, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
numbers = sys.argv[4].split(",")
shop = Staff({"service": Department("service", "x")},
             {n: Agent(n, n, ("service",)) for n in numbers}, Transfer())
people = Agents(Store(url), me)
start = datetime.now(UTC)
people.sync({"shop": shop}, start)
print("here", flush=True)
sys.stdin.readline()
waiting, talking, left = {}, {}, list(range(calls))
while left or waiting or talking:
    if left and len(waiting) < 6:
        call = f"{me}-{left.pop(0)}"
        at = datetime.now(UTC)
        waiting[people.join(call, 1, "shop", "service", "", at)] = call
        print("joined", call, at.timestamp(), flush=True)
    for call, number in list(talking.items()):
        del talking[call]
        print("before-release", call, number, flush=True)
        people.release(call, number, "talked", Transfer(wrap_up=0), datetime.now(UTC))
    for claim in people.match(datetime.now(UTC)).claims:
        people.talking(claim.call_id, datetime.now(UTC))
        people.leave(claim.place)
        del waiting[claim.place]
        talking[claim.call_id] = claim.staff_number
print("done", flush=True)
"""


def together(
    url: str, names: tuple[str, ...], calls: int, numbers: tuple[str, ...]
) -> list[list[str]]:
    """What processes of these names have said that begin at the same moment, line by line."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMING, url, me, str(calls), ",".join(numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for me in names
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].splitlines() for process in running]
    assert [process.returncode for process in running] == [0] * len(names)
    return said


def from_hand_to_hand(rows: Sequence[Any]) -> list[str]:
    """The calls that were served, by the log of agents, which has the order of the transactions:
    each phone was with one call at a time, and given back by that call."""
    holder: dict[str, str] = {}
    served: list[str] = []
    for row in rows:
        if row.state == "ringing":
            assert row.phone not in holder, "claimed while another call had it"
            assert row.call_id not in holder.values(), "one call had two phones"
            holder[row.phone] = row.call_id
            served.append(row.call_id)
        elif row.state == "talking":
            assert holder[row.phone] == row.call_id
        elif row.before == "talking":
            assert holder.pop(row.phone) == row.call_id
    assert holder == {}
    return served


def test_processes_claim_at_once_and_nobody_is_claimed_twice(store: Store, url: str) -> None:
    numbers, names, calls = ("801", "802", "803"), ("a", "b", "c"), 20
    lines = staff(*((number, number, "service") for number in numbers))
    people = Agents(store, "ops")
    now = datetime.now(UTC)
    people.sync({"shop": lines}, now)
    for number in numbers:
        people.set_ready(number, "phone", now)
    said = together(url, names, calls, numbers)
    assert [lines[-1] for lines in said] == ["done"] * 3

    log = tables.agent_log
    with store.read() as connection:
        rows = connection.execute(select(log).order_by(log.c.id)).all()
        left = connection.execute(select(tables.places)).all()
        states = connection.execute(select(tables.agents.c.state)).scalars().all()
    assert left == []
    assert set(states) == {"ready"}
    served = from_hand_to_hand(rows)
    assert Counter(served) == {f"{me}-{n}": 1 for me in names for n in range(calls)}
    assert {row.phone for row in rows if row.state == "ringing"} == set(numbers)
    # first come, first served, within each process; across processes that are all awake at every
    # moment TestAnyOrder shows it: how often this machine lets each run decides nothing here
    joined = {
        words[1]: float(words[2])
        for lines in said
        for words in map(str.split, lines)
        if words[0] == "joined"
    }
    for me in names:
        mine = [call for call in served if call.startswith(me)]
        assert mine == sorted(mine, key=joined.__getitem__)


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_on_postgresql_who_claims_waits_for_who_claims_already(store: Store) -> None:
    people = Agents(store, "one")
    people.sync(LINES, NOON)
    people.set_ready("801", "phone", NOON)
    people.join("c1", 1, "shop", "service", "", NOON)

    def claims(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})

    later = NOON + timedelta(seconds=3)  # not within the time of one heartbeat
    matched = after(store, claims, lambda: people.match(later))
    assert [claim.call_id for claim in matched.claims] == ["c1"]


def test_what_a_killed_process_held_is_claimed_by_another(store: Store, url: str) -> None:
    lines = staff(("801", "801", "service"))
    people = Agents(store, "ops")
    now = datetime.now(UTC)
    people.sync({"shop": lines}, now)
    people.set_ready("801", "phone", now)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "801\n"
        process.kill()
    people.join("ours", 1, "shop", "service", "", now)
    assert people.match(now + timedelta(seconds=9)).claims == ()
    claims = people.match(now + timedelta(seconds=60)).claims
    assert [claim.call_id for claim in claims] == ["ours"]


HOLDING = """
import sys
from datetime import UTC, datetime
from ivr.agents import Agents
from ivr.store import Store

people = Agents(Store(sys.argv[1]), "dying")
people.join("c1", 1, "shop", "service", "", datetime.now(UTC))
(claim,) = people.match(datetime.now(UTC)).claims
print(claim.phone, flush=True)
sys.stdin.read()
"""
