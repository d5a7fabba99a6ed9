"""Numbers are masked wherever people see a journal, and nothing else is."""

from __future__ import annotations

from journalled import entry

from ivr.actions import Note, Say
from ivr.events import Key, Said
from ivr.redact import mask, masked, redacted


def test_a_number_shows_its_last_four_digits() -> None:
    assert mask("13800138000") == "*******8000"
    assert mask("8001") == "8001"
    assert mask("") == ""
    assert masked("call 13800138000 or +86 10 1234-5678, line 11185") == (
        "call *******8000 or ************5678, line 11185"
    )


def test_a_number_keyed_in_is_masked_like_one_written() -> None:
    keyed = [entry(n, Key(digit)) for n, digit in enumerate("13800138000")]
    rest = [entry(11, Said(1)), entry(12, Key("1")), entry(13, Note("contact", "13800138000"))]
    shown = redacted([*keyed, *rest])
    digits = [one.what.digit for one in shown if isinstance(one.what, Key)]
    assert "".join(digits) == "???????80001"
    assert shown[-1].what == Note("contact", "*******8000")
    assert [one.seq for one in shown] == list(range(14))


def test_masking_changes_nothing_that_is_no_number() -> None:
    rows = [entry(0, Say(3, "opening", (("addressee", "王女士"),))), entry(1, Key("2"))]
    assert redacted(rows) == rows
