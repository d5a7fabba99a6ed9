"""What the rules of `prompts/rules/` flag in a text, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from ivr import files, wording
from ivr.document import BadFile
from ivr.files import parse

ROOT = Path(__file__).parents[2]
RULES = """\
prescribed:
  - {clause: X-1, says: ["您好,服务器正在维护,请稍等。", "好的。"]}
banned:
  - {phrase: 服务器, clause: B-2, match: anywhere}
  - {phrase: 不知道, clause: B-3, match: whole}
  - {phrase: 大概, clause: B-4, match: anywhere, texts: [answer.*]}
needed:
  - {clause: C-4, what: bad news, texts: [lost.*], signs: [没有查到], words: [对不起, 抱歉],
     unless: [查到以后]}
longest:
  - {clause: L-5, texts: [steps.*], lasts: 20 s}
  - {clause: L-5, lasts: 10 s}
"""


@pytest.fixture(scope="module")
def rules():
    return wording.read([parse(RULES, "rules.yaml")])


def told(rules, name: str, text: str, clauses: str = "", lasts: float = 1.0) -> list[str]:
    """What is told of one text, each as its code and the clause."""
    named = f", clauses: [{clauses}]" if clauses else ""
    file = parse(f'hotline: shop\ntexts:\n  {name}: {{text: "{text}"{named}}}\n', "shop.yaml")
    found = wording.check(file, rules, lambda name: lasts)
    assert all((one.path, one.line) == ("shop.yaml", 3) for one in found)
    clause = {"B-2", "B-3", "B-4", "C-4", "L-5", "X-1"}
    return [f"{one.code} {next(c for c in clause if c in one.sentence)}" for one in found]


def test_a_banned_word_is_found_anywhere_and_a_general_one_as_a_whole_sentence(rules):
    assert told(rules, "a", "这个服 务 器很忙。") == ["F503 B-2"]
    assert told(rules, "a", "我,不知道。") == ["F503 B-3"]
    assert told(rules, "a", "不知道您方便吗?") == []


def test_a_rule_for_some_texts_leaves_the_others_alone(rules):
    assert told(rules, "answer.fee", "大概三元。") == ["F503 B-4"]
    assert told(rules, "menu", "大概三元。") == []


def test_what_a_clause_prescribes_is_never_flagged_where_the_text_names_it(rules):
    words = "您好,服务器正在维护,请稍等。"
    assert told(rules, "a", words, "X-1") == []
    assert told(rules, "a", words) == ["F503 B-2"]
    assert told(rules, "a", words, "X-1", lasts=60.0) == []


def test_what_stands_beside_it_in_the_same_text_is(rules):
    assert told(rules, "a", "好的。这个服务器很忙。", "X-1") == ["F503 B-2"]
    assert told(rules, "a", "好的。再等一等。", "X-1", lasts=60.0) == ["F507 L-5"]


def test_who_names_a_clause_in_vain_buys_nothing_by_it(rules):
    assert told(rules, "a", "您好,服务器坏了。", "X-1") == ["F508 X-1", "F503 B-2"]
    (problem,) = wording.check(
        parse('hotline: a\ntexts:\n  a: {text: "您好。", clauses: [Z-9]}\n', "a.yaml"),
        rules,
        lambda name: 1.0,
    )
    assert str(problem).endswith("does not say what it prescribes: give its words in prompts/rules")


def test_what_is_left_out_joins_nothing(rules):
    assert told(rules, "a", "服务,好的。器。", "X-1") == []


def test_bad_news_by_its_name_or_by_its_words_needs_a_word_of_regret(rules):
    assert told(rules, "lost.one", "请再来电。") == ["F506 C-4"]
    assert told(rules, "found", "没有查到。") == ["F506 C-4"]
    assert told(rules, "found", "很抱歉,没有查到。") == []
    assert told(rules, "found", "没有查到也不要紧,查到以后再说。") == []
    assert told(rules, "found", "查到了。") == []


def test_a_text_that_takes_too_long_is_told_and_the_first_rule_for_it_counts(rules):
    assert told(rules, "menu", "一二三。", lasts=10.1) == ["F507 L-5"]
    assert told(rules, "menu", "一二三。", lasts=10.0) == []
    assert told(rules, "steps.one", "一二三。", lasts=20.0) == []


def test_what_is_prescribed_and_said_by_no_text_is_told_at_the_rule(rules):
    file = parse(
        'hotline: a\ntexts:\n  a: {text: "好的!", clauses: [X-1]}\n  b: 好的。\n', "a.yaml"
    )
    (problem,) = wording.unsaid([file], rules)
    assert str(problem).startswith("rules.yaml:2 F508 no text says what X-1 prescribes: say 您好,")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("banned:", "baned:", "3 F102"),
        ("match: whole", "match: some", "5 F111"),
        ("match: whole", "mach: whole", "5 F102"),
        (", match: whole", "", "5 F107"),
        ("texts: [answer.*]", "texts: answer.*", "6 F103"),
        ("lasts: 10 s", "lasts: 10", "12 F110"),
        ("  - {clause: L-5, lasts: 10 s}", "  - L-5", "12 F103"),
    ],
)
def test_a_mistake_in_the_rules_is_told_at_its_line(old, new, expected):
    assert RULES.count(old) == 1
    with pytest.raises(BadFile) as caught:
        wording.read([parse(RULES.replace(old, new), "rules.yaml")])
    assert expected in [f"{one.line} {one.code}" for one in caught.value.problems]


# ---------------------------------------------------------------- the rules as they ship


@pytest.fixture(scope="module")
def shipped():
    return wording.read(
        files.read(path, ROOT) for path in sorted(ROOT.glob("prompts/rules/*.yaml"))
    )


@pytest.mark.parametrize(
    ("name", "text", "clause"),
    [
        ("menu", "请您查看后台的记录。", "LKL-B2"),
        ("menu", "好嘛,请稍等。", "LKL-B2"),
        ("menu", "请稍等哦。", "LKL-B2"),
        ("sorry.trouble", "是您自己的问题,请原谅,对不起。", "LKL-B2"),
        ("menu", "亲,请稍等。", "LKL-B2"),
        ("answer.fee", "手续费可能是三元。", "LKL-4.0"),
        ("query.not_found", "没有这笔交易。", "XJCA-4"),
        ("note.new", "我们无法为您办理。", "XJCA-4"),
        ("note.new", "您输入号码。", "XJCA-4"),
        ("note.new", "按1重听。", "XJCA-4"),
    ],
)
def test_the_shipped_rules_tell_what_the_documents_ban_or_ask_for(shipped, name, text, clause):
    file = parse(f'hotline: shop\ntexts: {{{name}: "{text}"}}\n', "shop.yaml")
    assert [one for one in wording.check(file, shipped, lambda name: 1.0) if clause in str(one)]


def test_the_shipped_rules_hold_texts_to_a_length(shipped):
    texts = "{menu: 请按1。, handling.x: 第一步。请您注意。}"
    file = parse(f"hotline: shop\ntexts: {texts}\n", "shop.yaml")
    (problem,) = wording.check(file, shipped, lambda name: 16.0)
    assert "'menu' takes 16.0 s, and XJCA-5g allows" in str(problem)
