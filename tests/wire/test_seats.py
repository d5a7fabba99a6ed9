"""What the phones of our own people may dial, over the fake Asterisk, and what is written of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from promised import PERSON, Office, office
from sqlalchemy import Connection, delete, update

from ivr import tables, tickets
from ivr.clock import VirtualClock
from ivr.fake_channel import Channel
from ivr.hotlines import Hotlines
from ivr.roster import history
from ivr.seats import Seat, Seats, allowed, seat
from ivr.staff import Agent
from ivr.store import StorageFailed, Store

pytestmark = pytest.mark.usefixtures("service_logs")

PRIVATE = "13700001111"
SEAT = "801, 832"
"""The phone 801 serves two lines, with a staff number on each."""


@pytest.fixture
async def one(lines: Hotlines, store: Store, monday: VirtualClock) -> AsyncIterator[Office]:
    """The service, with nobody at work: what is promised waits."""
    async with office(lines, store, monday) as opened:
        Seats(opened.service, store, "carrier").connect()
        set_busy = opened.people.agents.set_busy
        await monday.in_executor(set_busy, "801", "no call is made here", monday.utc())
        yield opened


async def dials(one: Office, number: str, phone: str = "801") -> Channel:
    channel = one.fake.place_call("s", path="seat", arguments=[number])
    channel.name = f"PJSIP/{phone}-00000009"
    await one.clock.run(lambda: bool(channel.ended_by), limit=60.0)
    return channel


def rings(channel: Channel) -> str:
    """Whom Asterisk was told to ring."""
    return channel.variables.get("SANSHENG_DIAL", "")


def heard(channel: Channel) -> list[str]:
    return [path.rpartition("/")[2] for path in channel.ears.prompts]


def written(store: Store) -> list[tuple[str, str]]:
    """What stands in the agents' history of what was dialled: staff numbers and reasons."""
    rows = history(store)
    return [(row["staff_number"], row["reason"]) for row in rows if "dial" in row["reason"]]


async def test_a_private_number_is_refused_and_written_down_with_the_staff_number(
    one: Office, store: Store
) -> None:
    channel = await dials(one, PRIVATE)
    assert rings(channel) == ""
    assert heard(channel) == ["common.agent.refused"]
    assert written(store) == [(SEAT, "may not dial *******1111: refused")]


async def test_a_phone_of_our_own_is_rung_and_no_number_shown_but_its_own(
    one: Office, store: Store
) -> None:
    channel = await dials(one, "802")
    assert rings(channel) == "PJSIP/802"
    assert channel.variables["SANSHENG_SHOWS"] == ""
    assert heard(channel) == []
    assert written(store) == [(SEAT, "dials 802, the phone of 802")]
    assert rings(await dials(one, "801")) == "", "nobody rings themselves"


async def test_who_stands_in_the_directory_of_the_line_is_rung_and_sees_the_lines_number(
    one: Office,
) -> None:
    assert "8002" in known_to(one, "xjca") - known_to(one, "infodesk")
    assert "13900000002" in known_to(one, "infodesk") - known_to(one, "xjca")
    for number, line in (("8002", "xjca"), ("13900000002", "infodesk")):
        channel = await dials(one, number)
        assert rings(channel) == f"PJSIP/{number}@carrier"
        assert channel.variables["SANSHENG_SHOWS"] in one.lines.lines[line].numbers
    assert rings(await dials(one, "13900000002", "802")) == "", "the directory of another line"


def known_to(one: Office, line: str) -> set[str]:
    """The numbers in a line's directory."""
    return {person["number"] for person in one.lines.lines[line].document["directory"]["people"]}


async def test_the_number_of_a_ticket_is_dialled_by_who_has_taken_it_while_it_is_open(
    one: Office, store: Store
) -> None:
    kept = one.leave()
    with store.read() as connection:
        ticket = tickets.of_message(connection, kept.reference)
    now = one.clock.utc()
    assert rings(await dials(one, PERSON)) == "", "a ticket of nobody's yet"
    tickets.take(store, ticket, "801", now)
    assert rings(await dials(one, PERSON)) == f"PJSIP/{PERSON}@carrier"
    assert rings(await dials(one, f"0{PERSON}")) == f"PJSIP/{PERSON}@carrier"
    assert rings(await dials(one, PERSON, "802")) == "", "somebody else's ticket"
    tickets.take(store, ticket, "802", now)
    assert rings(await dials(one, PERSON)) == "", "it was taken over"
    tickets.change(store, ticket, "done", "802", now)
    assert rings(await dials(one, PERSON, "802")) == "", "it is done"
    assert (SEAT, f"dials *******5678, for the ticket {ticket}") in written(store)


async def test_a_ticket_that_is_assigned_to_an_agent_may_be_called_too(
    one: Office, store: Store
) -> None:
    kept = one.leave()
    with store.read() as connection:
        ticket = tickets.of_message(connection, kept.reference)
    tickets.assign(store, ticket, "802", "801", one.clock.utc())
    assert rings(await dials(one, PERSON, "802")) == f"PJSIP/{PERSON}@carrier"
    assert rings(await dials(one, PERSON, "801")) == ""


@pytest.mark.parametrize("caller", ["+19005551234", "+882160123456", "16888123456", "95566"])
async def test_a_number_that_we_would_not_call_back_is_not_dialled_for_a_ticket(
    one: Office, store: Store, caller: str
) -> None:
    kept = one.leave()
    with store.read() as connection:
        ticket = tickets.of_message(connection, kept.reference)
    with store.write() as connection:
        connection.execute(update(tables.tickets).values(caller=caller))
    tickets.take(store, ticket, "801", one.clock.utc())
    assert rings(await dials(one, caller.replace("+", "00"))) == ""
    assert rings(await dials(one, PERSON)) == f"PJSIP/{PERSON}@carrier", "the same ticket's contact"


async def test_an_emergency_call_is_sent_out_and_then_written_down(
    one: Office, store: Store
) -> None:
    channel = await dials(one, "120")
    assert rings(channel) == "PJSIP/120@carrier"
    assert channel.variables["SANSHENG_SHOWS"] in one.lines.numbers
    await one.clock.run(lambda: bool(written(store)), limit=60.0)
    assert written(store) == [(SEAT, "dials 120, an emergency call")]


async def test_asterisk_knows_of_an_emergency_call_before_anything_is_written(
    one: Office, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = one.fake.place_call("s", path="seat", arguments=["110"])
    channel.name = "PJSIP/801-00000009"
    write, told = store.write, []

    def noted() -> AbstractContextManager[Connection]:
        told.append(rings(channel))
        return write()

    monkeypatch.setattr(store, "write", noted)
    await one.clock.run(lambda: bool(written(store)), limit=60.0)
    assert told == ["PJSIP/110@carrier"]


@pytest.mark.parametrize("phone", ["801", "802", "guest"])
async def test_an_emergency_call_takes_the_way_out_of_any_line(
    one: Office, store: Store, phone: str
) -> None:
    lines = one.lines
    found = seat(lines, "801")
    assert found is not None
    last = found.lines[-1].name
    rules = {**lines.callbacks, last: replace(lines.callbacks[last], through="trunk")}
    one.service.hotlines = replace(lines, callbacks=rules)
    Seats(one.service, store).connect()
    channel = await dials(one, "110", phone)
    assert rings(channel) == "PJSIP/110@trunk"
    assert channel.variables["SANSHENG_SHOWS"] in lines.lines[last].numbers


@pytest.mark.parametrize(
    "number", ["", "*", "*83", "#", "0", "+", "00861370000", "802@carrier", "802&PJSIP/1", "1" * 60]
)
async def test_what_is_no_number_rings_nobody(one: Office, number: str) -> None:
    channel = await dials(one, number)
    assert rings(channel) == ""
    assert heard(channel) == ["common.agent.refused"]


async def test_a_phone_that_is_nobodys_rings_nobody_and_is_told_nothing(
    one: Office, store: Store
) -> None:
    channel = await dials(one, "802", phone="guest")
    assert (rings(channel), heard(channel), written(store)) == ("", [], [])


async def test_what_cannot_be_written_down_is_refused(
    one: Office, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StorageFailed("the disk is full")

    monkeypatch.setattr(store, "write", full)
    channel = await dials(one, "802")
    monkeypatch.undo()
    assert (rings(channel), heard(channel)) == ("", ["common.agent.refused"])


async def test_an_emergency_call_goes_out_although_nothing_can_be_written_down(
    one: Office, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StorageFailed("the disk is full")

    monkeypatch.setattr(store, "write", full)
    assert rings(await dials(one, "120")) == "PJSIP/120@carrier"
    assert rings(await dials(one, "802")) == ""


def test_an_emergency_call_reaches_no_colleague_whose_staff_number_is_the_same(
    lines: Hotlines,
) -> None:
    line = lines.lines["xjca"]
    people = {**line.staff.agents, "120": Agent("120", "120", ("service",))}
    line = replace(line, staff=replace(line.staff, agents=people))
    may = allowed(lines, Seat("801", (line,), ("801",)), "120", {})
    assert may is not None
    assert (may.peer, may.number) == ("", "120")


async def test_without_a_way_out_only_our_own_phones_are_rung(one: Office, store: Store) -> None:
    Seats(one.service, store).connect()
    assert rings(await dials(one, "802")) == "PJSIP/802"
    assert rings(await dials(one, "120")) == ""
    assert written(store)[0] == (SEAT, "cannot dial 120, an emergency call: there is no way out")


async def test_what_a_seat_has_dialled_cannot_be_taken_out_of_the_history(
    one: Office, store: Store
) -> None:
    await dials(one, PRIVATE)
    log = tables.agent_log
    for statement in (delete(log), update(log).values(reason="")):
        with pytest.raises(StorageFailed), store.write() as connection:
            connection.execute(statement)
    assert written(store) == [(SEAT, "may not dial *******1111: refused")]
