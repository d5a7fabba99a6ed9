"""The dialplan: how a call reaches the service, and what happens without the service.

`generate()` fills in `asterisk/extensions.conf` and adds the lines: one context
[sansheng-lines] with every number, one context for each line. What comes out is one file
that Asterisk includes. `features()` is another: the codes that our own people may press in a
conversation.

Rules this module keeps:

- Every value is checked before it is written, so that nothing can become a second dialplan
  line, an expression or an option: numbers are digits with `*`, `#` and a leading `+`; names
  are `[a-z0-9_]+`; paths, addresses and dial strings have alphabets of their own. A bad value
  raises `ValueError` with a sentence.
- The same lines give the same text, byte for byte.
- An emergency call from a seat needs no service: it is written as a dialled number of its own,
  with every way out that the lines have, and shows a line's number (LAW-1).
- The caller's number never becomes part of a file name or a command: the fallback filters it
  into Asterisk's database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = "asterisk/extensions.conf"

PATIENCE = 8
"""Seconds the service may be silent at the beginning of a call before the fallback begins."""
QUIET = 5
"""Seconds of silence that end a message left without the service."""
LONGEST = 120
"""Seconds that a message left without the service may last."""
RING_PEOPLE = 8
"""Seconds that people are rung first, where a line does that: before the third ring."""
BRIDGE = 15
"""Seconds that an agent who has accepted waits for the caller's side, at most."""
CALLBACK = 150
"""The same, where the caller's side is yet to be rung."""
TALK = 7200
"""Seconds that a conversation may last; Asterisk ends it after that, should nobody else."""
OWN = "SANSHENG_AGI"
"""The channel variable that says where the worker listens that has this call, HOST:PORT."""
EMERGENCY = ("110", "119", "120", "122")
"""Police, fire, ambulance, traffic accidents: dialled from any phone in China."""
BACK = "back"
"""The feature that ends a hold. The caller's channel waits for it, so it runs on the agent's."""

_NUMBER = re.compile(r"\+?[0-9*#]{1,24}")
_NAME = re.compile(r"[a-z0-9_]{1,40}")
_LANGUAGE = re.compile(r"[a-z]{2}(_[A-Z]{2})?")
_PATH = re.compile(r"[\w ./@+=~:-]+")
_ADDRESS = re.compile(r"[A-Za-z0-9.-]{1,253}:[0-9]{1,5}")
_DIAL = re.compile(r"[A-Za-z]+/[A-Za-z0-9_.@/+*#-]{1,80}")
_ENDPOINT = re.compile(r"[A-Za-z0-9_-]{1,32}")
_CODE = re.compile(r"[0-9*#]{1,10}")
_HOLE = re.compile(r"(?<!\$)\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Line:
    """What the dialplan needs to know of one hotline.

    The prompts are paths below the sounds folder, without extension
    (`zh/LINE/LINE.maintenance.line`): `sorry` the apology of a line under maintenance, `leave`
    asks for a message after the beep, `kept` says thanks and goodbye, `goodbye` ends a
    conversation that a person has had with the caller. `people` are rung first for
    `ring_people` seconds, as Asterisk dials them (`PJSIP/8001`). `features` are what an agent may
    press in a conversation, each with its code. `through` is the endpoint by which its calls go
    out, empty if there is none; `shows` is the number that such a call shows.
    """

    name: str
    numbers: tuple[str, ...]
    sorry: str
    leave: str
    kept: str
    goodbye: str
    language: str = "zh"
    people: tuple[str, ...] = ()
    ring_people: int = RING_PEOPLE
    features: tuple[tuple[str, str], ...] = ()
    through: str = ""
    shows: str = ""


def generate(
    lines: Sequence[Line],
    *,
    agi: str,
    sounds: Path,
    spool: Path,
    root: Path,
    patience: int = PATIENCE,
    quiet: int = QUIET,
    longest: int = LONGEST,
) -> str:
    """The whole dialplan of these lines as one text.

    `agi` is the service's HOST:PORT, `sounds` and `spool` are the prompts' and the recordings'
    folders as Asterisk calls them, `root` is the folder that holds `asterisk/`. Raises
    ValueError for a value that must not stand in a dialplan, and for a number on two lines.
    """
    _check("address of the service", agi, _ADDRESS)
    for folder in (sounds, spool):
        _folder(folder)
    _owners(lines)
    fixed = fill(
        (root / TEMPLATE).read_text(),
        {
            "agi": agi,
            "spool": str(spool),
            "patience": _seconds("patience", patience),
            "quiet": _seconds("quiet", quiet),
            "longest": _seconds("longest", longest),
            "bridge": _seconds("bridge", BRIDGE),
            "talk": str(TALK),
            "emergency": _emergency(lines),
        },
    )
    head = "; Made by `sansheng dialplan`. Changes here are lost; change the hotlines instead.\n"
    numbers = [_numbers(line) for line in lines]
    contexts = [_context(line, sounds) for line in lines]
    return "\n".join([head, "[sansheng-lines]", *numbers, *contexts, fixed])


def features(lines: Sequence[Line]) -> str:
    """What stands in Asterisk's features.conf under [applicationmap]: every line's codes. A code
    works in a conversation whose agent's leg allows it (`allowed`). Raises ValueError."""
    _owners(lines)
    rows = ["; Made by `sansheng dialplan`. Changes here are lost; change the hotlines instead."]
    for line in lines:
        for name, code in line.features:
            whose = "self" if name == BACK else "peer"
            rows.append(
                f'{feature(line.name, name)} => {code},{whose},Gosub,"sansheng-feature,s,1({name})"'
            )
    return "\n".join(rows) + "\n"


def feature(line: str, name: str) -> str:
    """How Asterisk calls a feature of a line."""
    return f"sansheng-{line}-{name}"


def allowed(line: str, names: Iterable[str]) -> str:
    """What an agent's leg is told (`DYNAMIC_FEATURES`) so that these features work."""
    return "#".join(feature(line, name) for name in names)


def fill(template: str, values: Mapping[str, str]) -> str:
    """`{name}` becomes the value of that name; `${name}` is Asterisk's own and stays.

    Raises KeyError for a name without a value.
    """
    return _HOLE.sub(lambda hole: values[hole.group(1)], template)


def path(value: Path) -> str:
    """A path as it may stand in a configuration file. Raises ValueError."""
    _folder(value)
    return str(value)


# ---------------------------------------------------------------- parts


def _numbers(line: Line) -> str:
    """How each number of a line is answered; the time comes first, before anything can wait."""
    return "".join(
        f"exten => {number},1,Set(SANSHENG_START=${{CDR(start,u)}})\n"
        " same => n,Set(SANSHENG_NUMBER=${EXTEN})\n"
        f" same => n,Goto(sansheng-line-{line.name},s,1)\n"
        for number in line.numbers
    )


def _context(line: Line, sounds: Path) -> str:
    steps = [
        f"Set(SANSHENG_LINE={line.name})",
        f"Set(SANSHENG_SORRY={sounds / line.sorry})",
        f"Set(SANSHENG_LEAVE={sounds / line.leave})",
        f"Set(SANSHENG_KEPT={sounds / line.kept})",
        f"Set(SANSHENG_GOODBYE={sounds / line.goodbye})",
        f"Set(CHANNEL(language)={line.language})",
    ]
    if line.people:
        steps.append(f"Dial({'&'.join(line.people)},{line.ring_people})")
    steps.append("Goto(sansheng-call,s,1)")
    first, *others = steps
    rest = "".join(f" same => n,{step}\n" for step in others)
    return f"[sansheng-line-{line.name}]\nexten => s,1,{first}\n{rest}"


def _emergency(lines: Sequence[Line]) -> str:
    """How a seat's emergency calls go out: by one way after the other, each with the number of the
    first line that uses it. Empty without a way out: then the service is asked."""
    ways: dict[str, str] = {}
    for line in lines:
        if line.through:
            ways.setdefault(line.through, line.shows)
    if not ways:
        return ""
    text = ""
    for number in EMERGENCY:
        text += f"exten => {number},1,Log(NOTICE,sansheng: ${{CHANNEL}} dials ${{EXTEN}})\n"
        for through, shows in ways.items():
            text += f" same => n,Set(CALLERID(num)={shows})\n"
            text += f" same => n,Dial(PJSIP/{number}@{through})\n"
        text += " same => n,Hangup()\n"
    return text


# ---------------------------------------------------------------- checks


def _owners(lines: Sequence[Line]) -> None:
    names: set[str] = set()
    owners: dict[str, str] = {}
    for line in lines:
        _check("name of a hotline", line.name, _NAME)
        if line.name in names:
            raise ValueError(f"hotline {line.name} is given twice")
        names.add(line.name)
        if not line.numbers:
            raise ValueError(f"hotline {line.name} has no number: nobody could ring it")
        for number in line.numbers:
            _check(f"number of hotline {line.name}", number, _NUMBER)
            if number in owners:
                raise ValueError(
                    f"number {number} belongs to both {owners[number]} and {line.name}"
                )
            owners[number] = line.name
        for prompt in (line.sorry, line.leave, line.kept, line.goodbye):
            _check(f"prompt of hotline {line.name}", prompt, _PATH)
        _check(f"language of hotline {line.name}", line.language, _LANGUAGE)
        for person in line.people:
            _check(f"dial string of hotline {line.name}", person, _DIAL)
        _seconds(f"ring_people of hotline {line.name}", line.ring_people)
        for name, code in line.features:
            _check(f"name of a feature of hotline {line.name}", name, _NAME)
            _check(f"code of feature {name} of hotline {line.name}", code, _CODE)
        if line.through:
            _check(f"way out of hotline {line.name}", line.through, _ENDPOINT)
            _check(f"number shown by hotline {line.name}", line.shows, _NUMBER)


def _check(what: str, value: str, pattern: re.Pattern[str]) -> None:
    if not pattern.fullmatch(value):
        raise ValueError(f"{what} {value!r} may not stand in a dialplan")


def _folder(value: Path) -> None:
    if not value.is_absolute():
        raise ValueError(f"folder {str(value)!r} must be given from the root of the disk")
    _check("folder", str(value), _PATH)


def _seconds(what: str, value: int) -> str:
    if not 1 <= value <= 3600:
        raise ValueError(f"{what} must be between 1 and 3600 seconds, not {value}")
    return str(value)
