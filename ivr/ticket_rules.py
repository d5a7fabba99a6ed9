"""What a line's file says of tickets (工单): whose they are, how urgent, and what is promised.

Rules this module keeps:

- Pure. Every problem is told with file and line, all at once.
- What a caller is promised and when a ticket falls due are one thing: the promise of its kind.
- A line that says nothing still gets its tickets: the plain rule is for whoever answers.

Written in a hotline's file as:

    promises: {answer: 24 h, simple: 24 h, complex: 3 working days}
    tickets:
      kinds:                    # of message; what is not named here is by the plain rule
        complaint:       {owner: supervisor, urgency: high, promise: simple, grade: light}
        agent_complaint: {owner: supervisor, urgency: high, promise: complex, grade: serious}
        suggestion:      {urgency: low}
      grades:                   # a complaint of this grade alerts these at once (CCB-7)
        serious:      {alert: supervisor}
        very_serious: {alert: [supervisor, quality], webhook: "https://quality.example.com/hook"}
      due_soon: 2 h             # so long before it falls due, a ticket is urged (催办)
      webhook: {url: "https://desk.example.com/hook", token: DESK_TOKEN}

`promise` names one of the line's promises (`answer` by default); `simple` and `complex` are the
two settings for complaints. An owner, and who is alerted, is one of the line's departments, or
`supervisor`. `token` names an environment variable. A grade without a webhook uses the line's.

Serves XJCA-6.2d, XJCA-6.2e, EMS-10, EMS-22, LKL-5.9, TEL-3.4b, TEL-3.4c, CCB-7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ivr.document import BadFile, Map, Problem, Seq, Text, Value, known_keys, problem, seconds

ANSWER = "answer"
"""The promise of whatever has none of its own."""

COMPLEXITIES = ("simple", "complex")
"""Promises that also say how hard a complaint is."""

URGENCIES = ("low", "normal", "high", "urgent")
GRADES = ("light", "serious", "very_serious")
"""How serious a complaint is (CCB-7)."""

SUPERVISOR = "supervisor"
"""An owner that every line has."""

WITHOUT = frozenset({"caller", "transfer_note"})
"""Kinds of what is kept that ask nobody for anything."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ADDRESS = re.compile(r"https?://[^\s\"'<>@]{1,200}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of one kind of message. `grade` is one of GRADES, or empty."""

    owner: str = "service"
    urgency: str = "normal"
    promise: str = ANSWER
    grade: str = ""

    @property
    def complexity(self) -> str:
        """simple or complex, for a complaint; else empty."""
        return self.promise if self.promise in COMPLEXITIES else ""


PLAIN = Rule()


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where a line tells another system something over HTTP; `token` names an environment
    variable."""

    url: str
    token: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """Whom a ticket alerts at once when it comes to some grade, and where that is posted besides;
    None: to the line's own webhook."""

    whom: tuple[str, ...]
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """One line's rules. `promises` are as written (`24 h`), `due_soon` is in seconds."""

    kinds: Mapping[str, Rule] = field(default_factory=dict)
    promises: Mapping[str, str] = field(default_factory=dict)
    due_soon: float = 7200.0
    webhook: Webhook | None = None
    grades: Mapping[str, Alert] = field(default_factory=dict)

    def hook(self, threshold: str) -> Webhook | None:
        """Where an announcement is posted: due_soon, overdue, or a grade that alerts somebody."""
        alert = self.grades.get(threshold)
        return self.webhook if alert is None or alert.webhook is None else alert.webhook

    def rule(self, kind: str) -> Rule:
        """The rule for this kind of message."""
        return self.kinds.get(kind, PLAIN)

    def promise(self, kind: str, within: str = ANSWER) -> str:
        """The promised time for a message of this kind, as written in the file; empty if the line
        makes no such promise. `within` is what the flow asks for: the general answer, or a
        promise of another name, which no rule changes."""
        name = self.rule(kind).promise if within == ANSWER else within
        return self.promises.get(name, "")


def parse(hotline: Map) -> Rules:
    """The rules of a line, from its keys `promises` and `tickets`. Raises BadFile."""
    promises = hotline.get("promises", Map())
    if not isinstance(promises, Map):
        raise BadFile([problem(promises, "F103", "promises are named", "write {answer: 24 h}")])
    at = hotline.get("tickets", Map())
    if not isinstance(at, Map):
        fix = "write {kinds: {complaint: {owner: supervisor}}}"
        raise BadFile([problem(at, "F103", "tickets take settings", fix)])
    problems = known_keys(at, ("kinds", "due_soon", "webhook", "grades"))
    departments = hotline.get("departments")
    owners = (*departments, SUPERVISOR) if isinstance(departments, Map) else ()
    kinds = at.get("kinds", Map())
    rules: dict[str, Rule] = {}
    if isinstance(kinds, Map):
        for kind, settings in kinds.items():
            rules[str(kind)] = _rule(settings, promises, owners, problems)
    else:
        problems.append(
            problem(kinds, "F103", "kinds are a mapping", "write {complaint: {urgency: high}}")
        )
    due_soon = 7200.0
    if "due_soon" in at:
        try:
            due_soon = seconds(at["due_soon"])
        except BadFile as error:
            problems += error.problems
    hook = webhook(at["webhook"], problems) if "webhook" in at else None
    grades = _grades(at.get("grades", Map()), owners, problems)
    if problems:
        raise BadFile(problems)
    return Rules(rules, {str(k): str(v) for k, v in promises.items()}, due_soon, hook, grades)


def _grades(at: Value, owners: tuple[str, ...], problems: list[Problem]) -> dict[str, Alert]:
    if not isinstance(at, Map):
        fix = "write {serious: {alert: supervisor}}"
        problems.append(problem(at, "F103", "grades are a mapping", fix))
        return {}
    alerts: dict[str, Alert] = {}
    for grade, given in at.items():
        if grade not in GRADES:
            what = f"'{grade}' is no grade of a ticket"
            problems.append(problem(grade, "F641", what, f"choose from {', '.join(GRADES)}"))
        if not isinstance(given, Map) or not given.get("alert"):
            what, fix = "a grade says whom it alerts", "write {alert: supervisor}"
            problems.append(problem(given, "F643", what, fix))
            continue
        problems += known_keys(given, ("alert", "webhook"))
        whom = given["alert"] if isinstance(given["alert"], Seq) else [given["alert"]]
        for one in whom:
            if one not in (owners or (SUPERVISOR,)):
                what = f"'{one}' is nobody who can be alerted"
                fix = f"choose from {', '.join(owners) or SUPERVISOR}"
                problems.append(problem(one, "F643", what, fix))
        hook = webhook(given["webhook"], problems) if "webhook" in given else None
        alerts[str(grade)] = Alert(tuple(map(str, whom)), hook)
    return alerts


def _rule(at: Value, promises: Map, owners: tuple[str, ...], problems: list[Problem]) -> Rule:
    if not isinstance(at, Map):
        problems.append(problem(at, "F103", "a kind takes settings", "write {urgency: high}"))
        return PLAIN
    problems += known_keys(at, ("owner", "urgency", "promise", "grade"))
    choices = {"urgency": URGENCIES, "promise": tuple(promises), "grade": GRADES, "owner": owners}
    for key, allowed in choices.items():
        value = at.get(key)
        if value is None:
            continue
        if not isinstance(value, Text) or not _NAME.fullmatch(value):
            what, fix = f"'{value}' is no name", "use small letters, digits and _"
            problems.append(problem(value, "F641", what, fix))
        elif value not in allowed and (allowed or key != "owner"):
            what = f"'{value}' is no {key} of a ticket"
            fix = f"choose from {', '.join(allowed) or 'none: add it to promises'}"
            problems.append(problem(value, "F641", what, fix))
    return Rule(
        owner=str(at.get("owner", PLAIN.owner)),
        urgency=str(at.get("urgency", PLAIN.urgency)),
        promise=str(at.get("promise", PLAIN.promise)),
        grade=str(at.get("grade", PLAIN.grade)),
    )


def webhook(at: Value, problems: list[Problem]) -> Webhook | None:
    """Where to tell something, as a line's file says it: an address, or with a token. What is
    wrong is added to `problems`."""
    if isinstance(at, Text):
        at = Map({"url": at})
    if not isinstance(at, Map) or "url" not in at:
        fix = 'write {url: "https://host/path", token: NAME}'
        problems.append(problem(at, "F642", "a webhook needs its address", fix))
        return None
    problems += known_keys(at, ("url", "token"))
    url, token = at["url"], at.get("token", "")
    if not isinstance(url, Text) or not _ADDRESS.fullmatch(url):
        fix = "write https://host/path, without a password"
        problems.append(problem(url, "F642", f"'{url}' is no address", fix))
    if token and not re.fullmatch(r"[A-Z][A-Z0-9_]*", token):
        fix = "name the variable that holds the token, never the token"
        problems.append(problem(token, "F642", f"'{token}' is no environment variable", fix))
    return Webhook(str(url), str(token))
