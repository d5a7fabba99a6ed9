"""What people may write in a file besides plain lists: one thing in two places."""

from __future__ import annotations

import pytest

from ivr.document import BadFile
from ivr.files import parse


def test_an_alias_stands_for_what_was_written_and_for_its_place():
    parsed = parse("one:\n- &words [a, b]\ntwo: *words\n", "f.yaml")
    assert parsed["two"] == ["a", "b"]
    assert parsed["two"].line == 2


def test_a_list_that_holds_itself_is_told_and_not_followed():
    with pytest.raises(BadFile, match=r"f.yaml:1 F101 a part of this file holds itself"):
        parse("one: &words [a, *words]\n", "f.yaml")
