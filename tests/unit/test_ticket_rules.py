"""What a line's file says of tickets."""

from __future__ import annotations

import pytest

from ivr.document import BadFile
from ivr.files import parse
from ivr.hotlines import Hotlines
from ivr.ticket_rules import Alert, Rule, Rules
from ivr.ticket_rules import parse as rules

pytest_plugins = ["databases"]


def line(body: str) -> Rules:
    return rules(parse(f"hotline: x\npromises: {{answer: 24 h, simple: 2 h}}\n{body}\n", "x.yaml"))


def test_a_line_says_what_becomes_of_each_kind() -> None:
    read = line(
        "departments: {service: {}, expert: {}}\n"
        "tickets: {kinds: {complaint: {owner: expert, urgency: urgent, promise: simple, grade: "
        "serious}}, due_soon: 30 min, webhook: {url: 'https://h/x', token: HOOK}}"
    )
    assert read.rule("complaint") == Rule("expert", "urgent", "simple", "serious")
    assert read.rule("anything") == Rule("service", "normal", "answer", "")
    assert (read.promise("complaint"), read.promise("anything")) == ("2 h", "24 h")
    assert read.promise("complaint", "complex") == ""
    assert read.due_soon == 1800
    assert read.webhook is not None
    assert read.webhook.token == "HOOK"
    assert line("") == Rules({}, {"answer": "24 h", "simple": "2 h"})


def test_a_line_says_whom_a_grade_alerts_and_where_that_is_posted() -> None:
    read = line(
        "departments: {service: {}, quality: {}}\n"
        "tickets: {grades: {serious: {alert: supervisor}, very_serious: {alert: [quality, "
        "supervisor], webhook: 'https://h/q'}}, webhook: 'https://h/x'}"
    )
    assert read.grades["serious"] == Alert(("supervisor",))
    assert read.grades["very_serious"].whom == ("quality", "supervisor")
    hooks = [read.hook(name) for name in ("overdue", "serious", "very_serious")]
    assert [hook.url for hook in hooks if hook] == ["https://h/x", "https://h/x", "https://h/q"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("tickets: [1]", "x.yaml:3 F103 tickets take settings"),
        ("tickets: {kind: {}}", "x.yaml:3 F102 the key 'kind' is unknown: did you mean 'kinds'?"),
        ("tickets: {kinds: [1]}", "F103 kinds are a mapping"),
        ("tickets: {kinds: {a: high}}", "F103 a kind takes settings"),
        ("tickets: {kinds: {a: {urgencies: high}}}", "did you mean 'urgency'?"),
        ("tickets:\n  kinds:\n    a: {urgency: huge}", "x.yaml:5 F641 'huge' is no urgency"),
        ("tickets: {kinds: {a: {promise: complex}}}", "choose from answer, simple"),
        ("tickets: {kinds: {a: {grade: bad}}}", "choose from light, serious, very_serious"),
        ("departments: {service: {}}\ntickets: {kinds: {a: {owner: boss}}}",
         "'boss' is no owner of a ticket: choose from service, supervisor"),
        ("tickets: {kinds: {a: {owner: 'the boss'}}}", "F641 'the boss' is no name"),
        ("tickets: {due_soon: soon}", "F110"),
        ("tickets: {grades: [1]}", "F103 grades are a mapping"),
        ("tickets: {grades: {bad: {alert: supervisor}}}", "F641 'bad' is no grade of a ticket"),
        ("tickets: {grades: {serious: {}}}", "F643 a grade says whom it alerts"),
        ("tickets: {grades: {serious: {alert: boss}}}", "F643 'boss' is nobody who can be"),
        ("tickets: {webhook: {token: '${T}'}}", "F642 a webhook needs its address"),
        ("tickets: {webhook: {url: 'ftp://h'}}", "F642 'ftp://h' is no address"),
        ("tickets: {webhook: {url: 'https://u:p@h'}}", "without a password"),
        ("tickets: {webhook: {url: 'https://h', token: abc}}", "never the token"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_is_told_with_its_place(body: str, told: str) -> None:
    with pytest.raises(BadFile) as error:
        line(body)
    assert told in str(error.value)


def test_the_lines_that_ship_give_complaints_to_a_supervisor_with_both_settings(
    lines: Hotlines,
) -> None:
    for name, one in lines.lines.items():
        for kind in ("complaint", "agent_complaint"):
            assert one.tickets.rule(kind).owner == "supervisor", name
            assert one.tickets.rule(kind).complexity, name
            assert one.tickets.promise(kind), name
        assert {"simple", "complex"} <= set(one.tickets.promises), name
