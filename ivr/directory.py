"""Who calls: people whom a line knows, how numbers are written, and whom we may call back.

Rules this module keeps:

- Pure: no network is asked. Numbers are read with phonenumbers, as dialled in China; its tables
  are read when this module is, so that no call ever waits for a file.
- A number from the network is only compared and shown; it never becomes part of a command.
- How somebody is addressed comes only from here, from a known caller or from a person; never
  from a guess (XJCA-5d1, XJCA-6.1b, INF-2, INF-3).
- We call back domestic fixed and mobile numbers only, never our own.

Written in a hotline's file as:

    directory:
      people:
        - {number: "8001", addressee: 王总, role: manager}
        - {number: "13800138000", addressee: 李女士}
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberType

from ivr.document import BadFile, Map, Problem, Seq, Value, bad, known_keys

phonenumbers.PhoneMetadata.load_all()

REGION = "CN"
COUNTRY = 86
REMEMBERED = 1024
"""Judgements that are kept: one takes 0.1 ms, and a call asks for the same one again and again."""

CALLABLE = frozenset(
    {
        PhoneNumberType.FIXED_LINE,
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
    }
)


def normal(number: str) -> str:
    """A number as it would be dialled in China: `13800138000`, `01012345678`, `8001`.

    Takes what networks and people write (`+86 138…`, `0086…`, `013800138000`, `010-1234 5678`).
    Foreign numbers come back as `+1…`, whatever is no number at all as its digits, `*` and `#`.
    """
    bare = re.sub(r"[^0-9+*#]", "", number)[:40]
    parsed = _parse(bare) if bare else None  # a number that is withheld needs no judging
    if parsed is None:
        return bare.lstrip("+")
    if parsed.country_code != COUNTRY:
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    national = phonenumbers.national_significant_number(parsed)
    fixed = phonenumbers.number_type(parsed) == PhoneNumberType.FIXED_LINE
    return f"0{national}" if fixed else national


def _parse(number: str) -> phonenumbers.PhoneNumber | None:
    """The number if it is a valid one of some country, dialled from China."""
    try:
        parsed = phonenumbers.parse(number, REGION)
    except NumberParseException:
        return None
    return parsed if phonenumbers.is_valid_number(parsed) else None


def refusal(number: str, own: Collection[str] = ()) -> str:
    """Why we may not call this number back, in words; empty if we may. `own` are our numbers."""
    return _refusal(number, frozenset(own))


@lru_cache(REMEMBERED)
def _refusal(number: str, own: frozenset[str]) -> str:
    mine = {normal(one) for one in own}
    dialled = normal(number)
    if not dialled:
        return "there is no number"
    if dialled in mine:
        return "it is a number of our own"
    parsed = _parse(re.sub(r"[^0-9+*#]", "", number)[:40])
    if parsed is None:
        short = len(dialled) < 7
        return "it is a short or internal number" if short else "it is no complete number"
    if parsed.country_code != COUNTRY:
        return "it is abroad"
    if phonenumbers.number_type(parsed) not in CALLABLE:
        return "it is a service or premium number"
    # one of our short numbers behind an area code is still our own
    if any(one and re.fullmatch(rf"0\d{{2,3}}{re.escape(one)}", dialled) for one in mine):
        return "it is a number of our own"
    return ""


def may_call_back(number: str, own: Collection[str] = ()) -> bool:
    """Whether this is a domestic fixed or mobile number, and none of our own."""
    return not refusal(number, own)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody a line knows: as the prompts address them (`王总`), and what they are."""

    number: str
    addressee: str
    role: str = ""


NOBODY = Person("", "")


class Directory:
    """The people of one line, by number."""

    def __init__(self, people: Mapping[str, Person]) -> None:
        self._people = dict(people)

    def find(self, number: str) -> Person:
        """The person who calls from this number; `NOBODY` if we do not know."""
        return self.of(normal(number))

    def of(self, dialled: str) -> Person:
        """The person with this number, written as `normal` writes it; `NOBODY` if there is none."""
        return self._people.get(dialled, NOBODY)

    def __len__(self) -> int:
        return len(self._people)


def parse(hotline: Map) -> Directory:
    """The directory of a line, from its key `directory`. Raises BadFile."""
    at = hotline.get("directory", Map())
    if not isinstance(at, Map):
        raise bad(at, "F103", "a directory takes settings", "write {people: […]}")
    problems = known_keys(at, ("people",))
    people: dict[str, Person] = {}
    listed = at.get("people", Seq())
    if not isinstance(listed, Seq):
        raise bad(listed, "F103", "people are a list", 'write - {number: "8001", addressee: 王总}')
    for entry in listed:
        person = _person(entry, problems)
        if person is not None and person.number in people:
            what = f"the number '{person.number}' stands here twice"
            problems += bad(entry, "F106", what, "remove one of them").problems
        elif person is not None:
            people[person.number] = person
    if problems:
        raise BadFile(problems)
    return Directory(people)


def _person(at: Value, problems: list[Problem]) -> Person | None:
    if not isinstance(at, Map):
        fix = 'write {number: "8001", addressee: 王总}'
        problems += bad(at, "F103", "a person takes settings", fix).problems
        return None
    wrong = known_keys(at, ("number", "addressee", "role"))
    for key in ("number", "addressee"):
        if not at.get(key):
            what = f"a person needs '{key}'"
            wrong += bad(at, "F107", what, f"add {key}: …").problems
    if not wrong and not normal(at["number"]):
        wrong += bad(at["number"], "F611", f"'{at['number']}' is no number", "use digits").problems
    problems += wrong
    if wrong:
        return None
    return Person(normal(at["number"]), str(at["addressee"]), str(at.get("role", "")))
