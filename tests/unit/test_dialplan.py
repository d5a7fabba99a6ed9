"""The dialplan as text: exact for good values, refused for bad ones, clean for asterisklint."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivr.dialplan import Line, allowed, features, fill, generate

ROOT = Path(__file__).parents[2]
EMS = Line(
    "ems",
    ("11185", "+86#11185"),
    sorry="zh/ems/ems.maintenance.line",
    leave="zh/ems/ems.maintenance.leave_message",
    kept="zh/ems/ems.maintenance.kept",
    goodbye="zh/ems/ems.closing.goodbye",
)
XJCA = Line(
    "xjca",
    ("1001",),
    sorry="zh/xjca/a",
    leave="zh/xjca/b",
    kept="zh/xjca/c",
    goodbye="zh/xjca/d",
    people=("PJSIP/8001", "PJSIP/8002"),
    ring_people=8,
)


def text(
    *lines: Line,
    agi: str = "127.0.0.1:4573",
    sounds: str = "/srv/sounds",
    spool: str = "/srv/spool",
    **seconds: int,
) -> str:
    return generate(lines, agi=agi, sounds=Path(sounds), spool=Path(spool), root=ROOT, **seconds)


def test_the_lines_part_is_exactly_this() -> None:
    before, _, _ = text(EMS, XJCA).partition("; The part of the dialplan that is the same")
    assert (
        before
        == """\
; Made by `sansheng dialplan`. Changes here are lost; change the hotlines instead.

[sansheng-lines]
exten => 11185,1,Set(SANSHENG_START=${CDR(start,u)})
 same => n,Set(SANSHENG_NUMBER=${EXTEN})
 same => n,Goto(sansheng-line-ems,s,1)
exten => +86#11185,1,Set(SANSHENG_START=${CDR(start,u)})
 same => n,Set(SANSHENG_NUMBER=${EXTEN})
 same => n,Goto(sansheng-line-ems,s,1)

exten => 1001,1,Set(SANSHENG_START=${CDR(start,u)})
 same => n,Set(SANSHENG_NUMBER=${EXTEN})
 same => n,Goto(sansheng-line-xjca,s,1)

[sansheng-line-ems]
exten => s,1,Set(SANSHENG_LINE=ems)
 same => n,Set(SANSHENG_SORRY=/srv/sounds/zh/ems/ems.maintenance.line)
 same => n,Set(SANSHENG_LEAVE=/srv/sounds/zh/ems/ems.maintenance.leave_message)
 same => n,Set(SANSHENG_KEPT=/srv/sounds/zh/ems/ems.maintenance.kept)
 same => n,Set(SANSHENG_GOODBYE=/srv/sounds/zh/ems/ems.closing.goodbye)
 same => n,Set(CHANNEL(language)=zh)
 same => n,Goto(sansheng-call,s,1)

[sansheng-line-xjca]
exten => s,1,Set(SANSHENG_LINE=xjca)
 same => n,Set(SANSHENG_SORRY=/srv/sounds/zh/xjca/a)
 same => n,Set(SANSHENG_LEAVE=/srv/sounds/zh/xjca/b)
 same => n,Set(SANSHENG_KEPT=/srv/sounds/zh/xjca/c)
 same => n,Set(SANSHENG_GOODBYE=/srv/sounds/zh/xjca/d)
 same => n,Set(CHANNEL(language)=zh)
 same => n,Dial(PJSIP/8001&PJSIP/8002,8)
 same => n,Goto(sansheng-call,s,1)

"""
    )


def test_the_fixed_part_is_exactly_this() -> None:
    _, _, fixed = text(EMS, agi="10.0.0.1:9", quiet=4, longest=90, patience=7).partition(
        "\n[sansheng-call]\n"
    )
    steps = [row for row in fixed.splitlines() if row and not row.startswith(";")]
    assert (
        "\n".join(steps)
        == """\
exten => s,1,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=7)
 same => n,AGI(agi://10.0.0.1:9/call,${SANSHENG_NUMBER},${SANSHENG_START})
 same => n,Goto(sansheng-after,s,1)
exten => T,1,Goto(sansheng-after,s,1)
[sansheng-after]
exten => s,1,Set(TIMEOUT(absolute)=0)
 same => n,GotoIf($["${SANSHENG_DONE}" = "1"]?done)
 same => n,Log(WARNING,sansheng: call ${UNIQUEID} to ${SANSHENG_LINE} is without the service)
 same => n,GotoIf($["${SANSHENG_STAGE}" = "bridged"]?bridged)
 same => n,Goto(sansheng-fallback,s,1)
 same => n(bridged),Playback(${SANSHENG_GOODBYE})
 same => n(done),Hangup()
[sansheng-fallback]
exten => s,1,Set(TIMEOUT(absolute)=240)
 same => n,Answer()
 same => n,StopMusicOnHold()
 same => n,Wait(0.2)
 same => n,Playback(${SANSHENG_SORRY})
 same => n,ExecIf($["${PLAYBACKSTATUS}" = "FAILED"]?Log(ERROR,sansheng: no ${SANSHENG_SORRY}))
 same => n,Playback(${SANSHENG_LEAVE})
 same => n,Set(SANSHENG_KEEP=${EPOCH}-${RAND(100000000,999999999)}-${RAND(100000000,999999999)})
 same => n,Set(SANSHENG_ENTRY=sansheng/fallback/${SANSHENG_KEEP})
 same => n,Set(DB(${SANSHENG_ENTRY}/system)=${SYSTEMNAME})
 same => n,Set(DB(${SANSHENG_ENTRY}/call)=${UNIQUEID})
 same => n,Set(DB(${SANSHENG_ENTRY}/hotline)=${SANSHENG_LINE})
 same => n,Set(DB(${SANSHENG_ENTRY}/number)=${SANSHENG_NUMBER})
 same => n,Set(DB(${SANSHENG_ENTRY}/caller)=${FILTER(0-9*#+,${CALLERID(num)})})
 same => n,Set(DB(${SANSHENG_ENTRY}/began)=${EPOCH})
 same => n,Record(/srv/spool/${SANSHENG_KEEP}.wav,4,90,k)
 same => n,Set(DB(${SANSHENG_ENTRY}/ended)=${EPOCH})
 same => n,Playback(${SANSHENG_KEPT})
 same => n,Hangup()
exten => T,1,Hangup()
exten => h,1,GotoIf($["${SANSHENG_ENTRY}" = ""]?over)
 same => n,GotoIf(${DB_EXISTS(${SANSHENG_ENTRY}/began)}?:over)
 same => n,GotoIf(${DB_EXISTS(${SANSHENG_ENTRY}/ended)}?over)
 same => n,Set(DB(${SANSHENG_ENTRY}/ended)=${EPOCH})
 same => n(over),NoOp()
[sansheng-collect]
exten => s,1,Answer()
 same => n,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=60)
 same => n,AGI(agi://10.0.0.1:9/collect)
 same => n,Hangup()
exten => wait,1,Answer()
 same => n,Wait(60)
 same => n,Hangup()
exten => T,1,Hangup()
[sansheng-agent]
exten => s,1,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=7)
 same => n,ExecIf($["${SANSHENG_AGI}" = ""]?Set(SANSHENG_AGI=10.0.0.1:9))
 same => n,AGI(agi://${SANSHENG_AGI}/leg,${SANSHENG_LEG})
 same => n,GotoIf($["${SANSHENG_ACCEPTED}" = "1"]?wait)
 same => n,Hangup()
 same => n(wait),Set(TIMEOUT(absolute)=0)
 same => n,StartMusicOnHold()
 same => n,Wait(${IF($["${SANSHENG_WAIT}" = ""]?15:${SANSHENG_WAIT})})
 same => n,Hangup()
exten => T,1,Hangup()
[sansheng-callback]
exten => s,1,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=7)
 same => n,ExecIf($["${SANSHENG_AGI}" = ""]?Set(SANSHENG_AGI=10.0.0.1:9))
 same => n,AGI(agi://${SANSHENG_AGI}/callback,${SANSHENG_ATTEMPT})
 same => n,Goto(after,1)
exten => after,1,Set(TIMEOUT(absolute)=30)
 same => n,GotoIf($["${SANSHENG_DONE}" = "1"]?done)
 same => n,Log(WARNING,sansheng: attempt ${SANSHENG_ATTEMPT} is without the service)
 same => n,GotoIf($["${SANSHENG_STAGE}" = ""]?:talked)
 same => n,Playback(${SANSHENG_SORRY})
 same => n,Hangup()
 same => n(talked),Playback(${SANSHENG_GOODBYE})
 same => n(done),Hangup()
exten => T,1,Goto(after,1)
[sansheng-feature]
exten => s,1,ExecIf($["${SANSHENG_AGI}" = ""]?Set(SANSHENG_AGI=10.0.0.1:9))
 same => n,TryExec(Originate(Local/s@sansheng-alive/n,exten,sansheng-alive,up,1,2,\
v(SANSHENG_AGI=${SANSHENG_AGI})))
 same => n,GotoIf($["${TRYSTATUS}" = "SUCCESS" & "${ORIGINATE_STATUS}" != "SUCCESS"]?talk)
 same => n,Set(TIMEOUT(absolute)=7)
 same => n,AGI(agi://${SANSHENG_AGI}/feature,${ARG1})
 same => n(talk),StopMusicOnHold()
 same => n,Set(TIMEOUT(absolute)=7200)
 same => n,Return()
[sansheng-alive]
exten => s,1,Set(AGIEXITONHANGUP=yes)
 same => n,ExecIf($["${SANSHENG_AGI}" = ""]?Set(SANSHENG_AGI=10.0.0.1:9))
 same => n,AGI(agi://${SANSHENG_AGI}/alive)
 same => n,GotoIf($["${AGISTATUS}" = "SUCCESS"]?:gone)
 same => n,Answer()
 same => n(gone),Hangup()
exten => up,1,Hangup()
[sansheng-agents]
include => sansheng-lines
exten => *81,1,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=30)
 same => n,AGI(agi://10.0.0.1:9/agent,ready)
 same => n,Hangup()
exten => *82,1,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=30)
 same => n,AGI(agi://10.0.0.1:9/agent,busy)
 same => n,Hangup()
exten => T,1,Hangup()
[sansheng-seats]
include => sansheng-agents
include => sansheng-dialled
[sansheng-dialled]
exten => _[0-9#*+],1,Set(SANSHENG_NUMBER=${FILTER(+*#0-9,${EXTEN})})
 same => n,Goto(dialled,1)
exten => _[0-9#*+].,1,Set(SANSHENG_NUMBER=${FILTER(+*#0-9,${EXTEN})})
 same => n,Goto(dialled,1)
exten => dialled,1,Set(AGIEXITONHANGUP=yes)
 same => n,Set(TIMEOUT(absolute)=30)
 same => n,AGI(agi://10.0.0.1:9/seat,${SANSHENG_NUMBER})
 same => n,GotoIf($["${SANSHENG_DIAL}" = ""]?gone)
 same => n,ExecIf($["${SANSHENG_SHOWS}" = ""]?NoOp():Set(CALLERID(num)=${SANSHENG_SHOWS}))
 same => n,Set(TIMEOUT(absolute)=7200)
 same => n,Dial(${SANSHENG_DIAL},60)
 same => n(gone),Hangup()"""
    )


def test_emergency_calls_go_out_by_every_way_that_a_line_has_and_ask_nobody() -> None:
    others = [
        replace(EMS, name=name, numbers=(shows,), through=through, shows=shows)
        for name, through, shows in (("a", "trunk", "1"), ("b", "trunk", "2"), ("c", "gsm", "3"))
    ]
    _, _, seats = text(XJCA, *others).partition("\n[sansheng-seats]\n")
    seats, _, _ = seats.partition("\n[")
    steps = [row for row in seats.splitlines() if row and not row.startswith(";")]
    expected = [
        row
        for number in ("110", "119", "120", "122")
        for row in (
            f"exten => {number},1,Log(NOTICE,sansheng: ${{CHANNEL}} dials ${{EXTEN}})",
            " same => n,Set(CALLERID(num)=1)",
            f" same => n,Dial(PJSIP/{number}@trunk)",
            " same => n,Set(CALLERID(num)=3)",
            f" same => n,Dial(PJSIP/{number}@gsm)",
            " same => n,Hangup()",
        )
    ]
    assert steps == [*expected, "include => sansheng-agents", "include => sansheng-dialled"]


def test_what_a_context_of_ones_own_includes_has_no_patterns() -> None:
    rows = text(EMS, replace(XJCA, through="trunk", shows="1001"))
    _, _, agents = rows.partition("\n[sansheng-agents]\n")
    agents, _, _ = agents.partition("\n[")
    assert "exten => _" not in agents
    includes = [row for row in agents.splitlines() if row.startswith("include")]
    assert includes == ["include => sansheng-lines"]


CODES = (("hold", "*1"), ("back", "*2"), ("harassment", "*39"))


def test_the_codes_of_a_line_are_exactly_this() -> None:
    assert (
        features([EMS, replace(XJCA, features=CODES)])
        == """\
; Made by `sansheng dialplan`. Changes here are lost; change the hotlines instead.
sansheng-xjca-hold => *1,peer,Gosub,"sansheng-feature,s,1(hold)"
sansheng-xjca-back => *2,self,Gosub,"sansheng-feature,s,1(back)"
sansheng-xjca-harassment => *39,peer,Gosub,"sansheng-feature,s,1(harassment)"
"""
    )
    assert allowed("xjca", ["hold", "back"]) == "sansheng-xjca-hold#sansheng-xjca-back"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (("hold", "*1,self"), "code of feature hold of hotline xjca"),
        (("hold", ""), "code of feature hold of hotline xjca"),
        (('hold"', "*1"), "name of a feature of hotline xjca"),
        (("hold\nx", "*1"), "name of a feature of hotline xjca"),
    ],
)
def test_a_code_that_would_be_something_else_is_refused(bad: tuple[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        features([replace(XJCA, features=(bad,))])


def test_no_lines_are_a_dialplan_too() -> None:
    assert "[sansheng-lines]" in text()


def test_a_value_never_written_is_missed_at_once() -> None:
    assert fill("a = {b} ${c}", {"b": "1"}) == "a = 1 ${c}"
    with pytest.raises(KeyError, match="nothing"):
        fill("a = {nothing}", {})


@pytest.mark.parametrize(
    "bad",
    [
        replace(EMS, name="EMS"),
        replace(EMS, name="ems]"),
        replace(EMS, name=""),
        replace(EMS, numbers=()),
        replace(EMS, numbers=("",)),
        replace(EMS, numbers=("_X.",)),
        replace(EMS, numbers=("1,1,System(id)",)),
        replace(EMS, numbers=("1\n2",)),
        replace(EMS, numbers=("1\n",)),
        replace(EMS, numbers=("1+1",)),
        replace(EMS, numbers=("١٢",)),
        replace(EMS, sorry=""),
        replace(EMS, sorry="a&b"),
        replace(EMS, leave="a,b"),
        replace(EMS, kept="${SHELL(id)}"),
        replace(EMS, goodbye="a\n"),
        replace(EMS, goodbye="a;b"),
        replace(EMS, language="zh)"),
        replace(EMS, people=("PJSIP/1,30,U(x)",)),
        replace(EMS, people=("PJSIP/1&Local/2",)),
        replace(EMS, people=("8001",)),
        replace(EMS, ring_people=0),
        replace(EMS, through="trunk,60,U(x)", shows="11185"),
        replace(EMS, through="trunk", shows=""),
        replace(EMS, through="trunk", shows="1)"),
    ],
)
def test_a_line_that_could_say_more_than_it_should_is_refused(bad: Line) -> None:
    with pytest.raises(ValueError, match=r"hotline|number|prompt|dial|language|ring"):
        text(bad)


@pytest.mark.parametrize("agi", ["localhost", "host:port", "h:1/x", "h:1,a", "h h:1", "h:1\n"])
def test_a_bad_address_of_the_service_is_refused(agi: str) -> None:
    with pytest.raises(ValueError, match="may not stand in a dialplan"):
        text(EMS, agi=agi)


@pytest.mark.parametrize("folder", ["relative", "/a,b", "/a)b", "/a%d", "/a\nb", "/${X}"])
def test_a_bad_folder_is_refused(folder: str) -> None:
    with pytest.raises(ValueError, match="folder"):
        text(EMS, spool=folder)
    with pytest.raises(ValueError, match="folder"):
        text(EMS, sounds=folder)


@pytest.mark.parametrize("name", ["patience", "quiet", "longest"])
def test_a_time_that_makes_no_sense_is_refused(name: str) -> None:
    for seconds in (0, -1, 3601):
        with pytest.raises(ValueError, match=name):
            text(EMS, **{name: seconds})


def test_a_number_on_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="11185 belongs to both ems and other"):
        text(EMS, replace(EMS, name="other"))
    with pytest.raises(ValueError, match="11185 belongs to both ems and ems"):
        text(replace(EMS, numbers=("11185", "11185")))
    with pytest.raises(ValueError, match="ems is given twice"):
        text(EMS, replace(EMS, numbers=("5",)))


hostile = st.text(min_size=1, max_size=30)
nearly = st.text("az/._-$()[],;&=>\n", min_size=1, max_size=6)
"""Often taken, and often but for one character."""


@given(st.sampled_from(["name", "sorry", "leave", "kept", "goodbye", "language"]), hostile | nearly)
def test_whatever_is_accepted_adds_no_line_and_no_expression(field: str, value: str) -> None:
    usual = text(EMS)
    try:
        made = text(replace(EMS, **{field: value}))
    except ValueError:
        return
    assert len(made.splitlines()) == len(usual.splitlines())
    for mark in ("$", "(", ")", "[", "]", ",", ";", "&", "=>"):
        assert made.count(mark) == usual.count(mark)


@given(hostile | st.text("019+*#XZN.![]-\u0663", min_size=1, max_size=26))
def test_whatever_number_is_accepted_is_no_pattern(value: str) -> None:
    line = replace(EMS, numbers=(value,))
    if re.fullmatch(r"\+?[0-9*#]{1,24}", value, re.ASCII):
        assert f"exten => {value},1," in text(line)
    else:
        with pytest.raises(ValueError, match="may not stand in a dialplan"):
            text(line)


# ---------------------------------------------------------------- asterisklint


def lint(folder: Path, dialplan: str) -> str:
    """What asterisklint says of a dialplan as our own Asterisk loads it; nothing is good."""
    outer = (ROOT / "asterisk/standalone/extensions.conf").read_text()
    (folder / "extensions.conf").write_text(fill(outer, {"etc": str(folder)}))
    (folder / "sansheng.conf").write_text(dialplan)
    program = Path(sysconfig.get_path("scripts")) / "asterisklint"
    done = subprocess.run(
        [program, "dialplan-check", folder / "extensions.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_asterisklint_finds_nothing(tmp_path: Path) -> None:
    assert lint(tmp_path, text(EMS, XJCA)) == ""
    assert lint(tmp_path, text(EMS, replace(XJCA, through="trunk", shows="1001"))) == ""


def test_asterisklint_would_find_something(tmp_path: Path) -> None:
    good = text(EMS, XJCA)
    assert "E_APP_MISSING" in lint(tmp_path, good.replace("Record(", "Recrod("))
    lost = good.replace("Goto(sansheng-fallback,s,1)", "Goto(sansheng-fallbck,s,1)")
    assert "E_DP_GOTO_NOCONTEXT" in lint(tmp_path, lost)
