"""What texts may not say, must say, and how long they may take: the rules in `prompts/rules/`.

Rules this module keeps:

- Pure: it is given texts and rules as written, and gives problems with file and line, each with the
  clause that is broken.
- Every list is data. A rule with `texts` is for the texts of these names alone (`answer.*`).
- What a clause prescribes is never flagged: in a text that names the clause, its sentences are left
  out, and what remains is judged. A text that names a clause says what it prescribes.
- Compared without punctuation and spaces, with 您 read as 你. `match: whole` is all that stands
  between two punctuation marks.

Serves LKL-B2, LKL-B3, LKL-4.0, HNTV-7, INF-8, XJCA-4, XJCA-5g.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ivr.document import BadFile, Map, Problem, Seq, Text, known_keys, problem, seconds

KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "banned": (("phrase", "clause", "match"), ("forms", "texts")),
    "needed": (("clause", "what", "words"), ("texts", "signs", "unless")),
    "longest": (("clause", "lasts"), ("texts",)),
    "prescribed": (("clause", "says"), ()),
    "slow": (("clause", "rate"), ("texts", "digits", "but")),
    "courtesies": (("word",), ("forms",)),
}
"""The lists of rules: the keys that each of their entries has, and those that it may have."""
LISTS = ("forms", "texts", "words", "signs", "unless", "says", "but")
"""The keys that hold lists."""
MATCHES = ("whole", "anywhere")
_RATE = re.compile(r"[0-9](\.[0-9]+)?")

_NOT_SPOKEN = re.compile(r"[^\w]", re.UNICODE)
_SENTENCE = re.compile(r"[。?？!！,，;；]")
GAP = "|"
"""Stands where a prescribed sentence was left out, so that its neighbours do not join."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The entries of every file of rules, by kind."""

    banned: list[Map] = field(default_factory=list)
    needed: list[Map] = field(default_factory=list)
    longest: list[Map] = field(default_factory=list)
    prescribed: list[Map] = field(default_factory=list)
    slow: list[Map] = field(default_factory=list)
    courtesies: list[Map] = field(default_factory=list)


def read(files: Iterable[Map]) -> Rules:
    """The rules of these files. Raises BadFile with every problem found."""
    rules, problems = Rules(), list[Problem]()
    for file in files:
        problems += known_keys(file, KINDS)
        for kind in KINDS:
            entries = file.get(kind, Seq())
            if not isinstance(entries, Seq):
                fix = f"write - {{{KINDS[kind][0][0]}: …}} under it"
                problems.append(problem(entries, "F103", f"'{kind}' is no list", fix))
                continue
            for entry in entries:
                told = list(_entry(kind, entry))
                problems += told
                if not told:
                    getattr(rules, kind).append(entry)
    if problems:
        raise BadFile(problems)
    return rules


def _entry(kind: str, entry: Any) -> Iterator[Problem]:
    needed, more = KINDS[kind]
    if not isinstance(entry, Map):
        yield problem(entry, "F103", f"a rule under '{kind}' has settings", "write {clause: …}")
        return
    yield from known_keys(entry, (*needed, *more))
    for key in needed:
        if not entry.get(key):
            yield problem(entry, "F107", f"a rule under '{kind}' needs '{key}'", f"add {key}: …")
    for key in LISTS:
        if key in entry and not isinstance(entry[key], Seq):
            yield problem(entry[key], "F103", f"'{key}' is no list", "write [one, two]")
    if entry.get("match", MATCHES[0]) not in MATCHES:
        what = f"'{entry['match']}' is no way to match"
        yield problem(entry["match"], "F111", what, f"use {' or '.join(MATCHES)}")
    if "rate" in entry and not _RATE.fullmatch(entry["rate"]):
        yield problem(entry["rate"], "F111", f"'{entry['rate']}' is no rate", "write e.g. 0.9")
    if "digits" in entry and not entry["digits"].isdecimal():
        yield problem(entry["digits"], "F111", "no number of digits", "write e.g. 5")
    if "lasts" in entry:
        try:
            seconds(entry["lasts"])
        except BadFile as error:
            yield from error.problems


def check(file: Map, rules: Rules, lasts: Callable[[str], float]) -> list[Problem]:
    """What is wrong with the texts of one file. `lasts` gives the seconds that a text takes, what
    fills its slots left out."""
    problems: list[Problem] = []
    for name, at in file.get("texts", Map()).items():
        text = at.get("text", "") if isinstance(at, Map) else at
        if not isinstance(text, str):
            continue
        clauses = at.get("clauses", Seq()) if isinstance(at, Map) else Seq()
        problems += _prescribed(name, text, clauses, rules)
        problems += _slow(name, text, at, file, rules)
        sentences = _remaining(text, clauses, rules)
        if any(sentence != GAP for sentence in sentences):
            problems += _banned(name, sentences, rules)
            problems += _needed(name, text, sentences, rules)
            problems += _longest(name, lasts, rules)
    return problems


def unsaid(files: Iterable[Map], rules: Rules) -> list[Problem]:
    """What is prescribed, and said by no text of any file that names its clause."""
    said: dict[str, list[str]] = {}
    for file in files:
        for at in file.get("texts", Map()).values():
            for clause in at.get("clauses", ()) if isinstance(at, Map) else ():
                said.setdefault(clause, []).append(_plain(at.get("text", "")))
    return [
        problem(words, "F508", f"no text says what {rule['clause']} prescribes", f"say {words}")
        for rule in rules.prescribed
        for words in rule["says"]
        if not any(_plain(words) in text for text in said.get(rule["clause"], ()))
    ]


def courtesies(texts: Iterable[str], rules: Rules) -> dict[str, int]:
    """How often each courtesy was heard in these texts, those that were not heard left out."""
    said = "".join(map(_plain, texts))
    heard = {
        str(rule["word"]): sum(
            said.count(_plain(form)) for form in rule.get("forms", [rule["word"]])
        )
        for rule in rules.courtesies
    }
    return {word: times for word, times in heard.items() if times}


# ---------------------------------------------------------------- one text


def _plain(text: str) -> str:
    """What is compared: no punctuation, and the polite 您 read as 你."""
    return _NOT_SPOKEN.sub("", text).replace("您", "你")


def _sentences(text: str) -> list[str]:
    return [plain for part in _SENTENCE.split(text) if (plain := _plain(part))]


def _remaining(text: str, clauses: Iterable[str], rules: Rules) -> list[str]:
    """The sentences of a text, GAP in the place of each that a clause of it prescribes."""
    own = set(clauses)
    exempt = {
        sentence
        for rule in rules.prescribed
        if rule["clause"] in own
        for words in rule["says"]
        if _plain(words) in _plain(text)
        for sentence in _sentences(words)
    }
    return [GAP if sentence in exempt else sentence for sentence in _sentences(text)]


def _prescribed(name: Text, text: str, clauses: Iterable[str], rules: Rules) -> Iterator[Problem]:
    for clause in clauses if rules.prescribed else ():
        words = [
            one for rule in rules.prescribed if rule["clause"] == clause for one in rule["says"]
        ]
        if any(_plain(one) in _plain(text) for one in words):
            continue
        what = f"'{name}' names {clause}, and does not say what it prescribes"
        fix = f"say {' or '.join(words)}" if words else "give its words in prompts/rules"
        yield problem(name, "F508", what, fix)


def _for(rule: Map, name: str) -> bool:
    """Whether a rule is for the text of this name."""
    return any(fnmatchcase(name, pattern) for pattern in rule.get("texts", ("*",)))


def _banned(name: Text, sentences: list[str], rules: Rules) -> Iterator[Problem]:
    whole = "".join(sentences)
    for rule in rules.banned:
        forms = [_plain(form) for form in rule.get("forms", [rule["phrase"]])]
        spoken = sentences if rule["match"] == "whole" else whole
        if _for(rule, name) and any(form in spoken for form in forms):
            what = f"'{name}' contains a phrase that {rule['clause']} bans ({rule['phrase']})"
            yield problem(name, "F503", what, "reword it")


def _needed(name: Text, text: str, sentences: list[str], rules: Rules) -> Iterator[Problem]:
    """A courteous word is needed where the name of a text says what it is, or its words do."""
    plain, whole = _plain(text), "".join(sentences)
    for rule in rules.needed:
        named = "texts" in rule and _for(rule, name)
        meant = named or any(_plain(sign) in whole for sign in rule.get("signs", ()))
        excused = any(_plain(sign) in plain for sign in rule.get("unless", ()))
        if meant and not excused and not any(_plain(word) in plain for word in rule["words"]):
            what = f"'{name}' is {rule['what']} without a word that {rule['clause']} asks for"
            yield problem(name, "F506", what, f"say {' or '.join(rule['words'])}")


def _slow(name: Text, text: str, at: Any, file: Map, rules: Rules) -> Iterator[Problem]:
    """Numbers that are noted down, and what is hard to understand, are said slowly enough, also
    where the words are a clause's own."""
    own = at.get("rate") if isinstance(at, Map) else None
    rate = str(own or file.get("rate", "1.0"))
    for rule in rules.slow if _RATE.fullmatch(rate) else ():
        numbered = "digits" in rule and re.search(rf"[0-9]{{{rule['digits']},}}", text)
        named = any(fnmatchcase(name, pattern) for pattern in rule.get("texts", ()))
        spared = any(fnmatchcase(name, pattern) for pattern in rule.get("but", ()))
        if (named or numbered) and not spared and float(rate) > float(rule["rate"]):
            what = f"'{name}' is said at the rate {rate}, and {rule['clause']} wants it slow"
            yield problem(name, "F509", what, f"give it rate: {rule['rate']} or less")


def _longest(name: Text, lasts: Callable[[str], float], rules: Rules) -> Iterator[Problem]:
    """The first rule that is for a text says how long it may take."""
    rule = next((rule for rule in rules.longest if _for(rule, name)), None)
    if rule is not None and (takes := lasts(name)) > seconds(rule["lasts"]):
        what = f"'{name}' takes {takes:.1f} s, and {rule['clause']} allows {rule['lasts']}"
        yield problem(name, "F507", what, "say it in fewer words, or in two texts")
