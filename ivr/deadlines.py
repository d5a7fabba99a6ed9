"""Whether what a line says of a deadline is what its tickets fall due by.

Rules this module keeps:

- Pure: it is given the texts and the hotline as written, and gives problems with file and line.
- The constant `within` of the texts is the promise `answer`, `within_complex` the promise
  `complex`, and so on; what is said is `ivr.hours.spoken` of what is written in the hotline.
- The text that a kind of message ends with (`message.kept.KIND`) speaks the promise of that kind,
  or none.

Serves XJCA-6.2e, EMS-10, EMS-22, LKL-5.9.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ivr.document import BadFile, Map, Problem, problem
from ivr.hours import spoken
from ivr.ticket_rules import ANSWER, Rules

CONSTANT = "within"
KEPT = "message.kept."
"""How the texts begin that say that something is kept; then comes the kind of message."""
NO_WORDS = "contact"
"""Said instead of its kind's text when only a number was left, but for complaints."""

_SPOKEN = re.compile(rf"\{{({CONSTANT}(?:_([a-z0-9_]+))?)\}}")


def check(texts: Map, rules: Rules) -> list[Problem]:
    """What the texts of one line (its prompts file) say of deadlines, and should not."""
    constants = texts.get("constants", Map())
    problems = list(_constants(constants, rules)) if isinstance(constants, Map) else []
    for name, at in texts.get("texts", Map()).items():
        text = at.get("text", "") if isinstance(at, Map) else at
        kind = str(name).removeprefix(KEPT)
        if name != kind and isinstance(text, str):
            kinds = [kind] if kind != NO_WORDS else _said_by_all(rules)
            problems += [one for own in kinds for one in _kept(name, text, own, rules)]
    return sorted(set(problems))


def _constants(constants: Map, rules: Rules) -> Iterator[Problem]:
    for name, said in constants.items():
        found = _SPOKEN.fullmatch(f"{{{name}}}")
        if found is None:
            continue
        promise = found[2] or ANSWER
        within = rules.promises.get(promise)
        if within is None:
            what = f"'{name}' speaks the promise '{promise}', which the line does not make"
            yield problem(name, "F651", what, f"add {promise}: … to its promises")
        elif said != _spoken(within):
            what = f"'{name}' says {said}, and the promise is {within}"
            yield problem(name, "F651", what, f"write {_spoken(within)}")


def _said_by_all(rules: Rules) -> list[str]:
    """Kinds that may end with the text for who left a number only."""
    return ["message", *(kind for kind in rules.kinds if "complaint" not in kind)]


def _kept(name: str, text: str, kind: str, rules: Rules) -> Iterator[Problem]:
    due = _spoken(rules.promise(kind))
    for constant, promise in _SPOKEN.findall(text):
        said = _spoken(rules.promises.get(promise or ANSWER, ""))
        if said != due:
            own = rules.rule(kind).promise
            what = f"'{name}' speaks {{{constant}}}, and a {kind} falls due by the promise '{own}'"
            fix = f"write {{{CONSTANT}_{own}}}" if own != ANSWER else f"write {{{CONSTANT}}}"
            yield problem(name, "F652", what, fix)


def _spoken(within: str) -> str:
    """The promise in words; as it is, where it is none (that is told elsewhere)."""
    try:
        return spoken(within)
    except BadFile:
        return within
