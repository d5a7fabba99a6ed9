"""docs/transfer.md: every way in which a transfer can go, as it went on real phones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from people import AGENT, talk
from places import ROOT
from transfers import CASES, Done

TABLE = ROOT / "docs/transfer.md"


def write(done: Mapping[str, Done]) -> None:
    """The table, of these cases."""
    TABLE.write_text(HEAD.format(rows="\n".join(_rows(done))), "utf-8")


def _rows(done: Mapping[str, Done]) -> Iterator[str]:
    for name, one in done.items():
        agents = " / ".join(", ".join(heard) or "nothing" for heard in one.agents_heard)
        record = ", ".join(f"{key} {value}" for key, value in sorted(one.row.record.items()))
        legs = " / ".join(leg.record.get("verdict", "none") for leg in one.legs)
        states = ", ".join(f"{state} ({why})" for state, why in one.states.values())
        talked = " and the agent" if talk(one.caller, AGENT) else ""
        yield (
            f"| {CASES[name].title} | {', '.join(one.heard)}{talked} | {agents or 'nothing'} | "
            f"{record}; legs: {legs or 'none'} | {states} | {one.effect}: {one.seconds:.3f} s |"
        )


HEAD = """# Transfers, case by case

Made by the live tests (`SANSHENG_LIVE=all`, which `make live` sets); do not edit. Real phones on
both sides of a real Asterisk; what was heard is recognised in the recorded sound. After each case
no channel, no call, no claimed agent and no place in a line was left.

An agent who accepts while the caller hears a sentence of ours waits, with music, for its end:
the sentence is not cut. That is 2.5 s for the sign of life and 5.2 s for the longest, the caller's
place in two figures (the lengths of the prompts; `tests/unit/test_transfer.py`). At any other
moment the two hear each other at once, as the table says.

What an agent who accepts has heard is told to other programs at the same moment (posted 0.01 s
after it in the test), as the manager's event `SanshengNote` and as a post to the line's webhook
with its token; a ticket whose grade alerts somebody is told at the service's next look (every
15 s), as `SanshengTicket` and a post. `tests/live/test_told_live.py` shows both with a second
manager account that reads class `user` only, and an address of its own.

| case | the caller heard | the agents heard | record | agent afterwards | event → effect |
|---|---|---|---|---|---|
{rows}
"""
