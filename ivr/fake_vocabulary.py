"""The AGI commands that the fake Asterisk knows: their arguments, and what they answer.

Rules this module keeps:

- A command that takes no time answers at once; one that does gives an object of
  `ivr.fake_commands`, which will answer.
- What Asterisk 22 was seen to answer is answered here, odd as it is. Arguments that make no sense
  raise `Usage`, ValueError or IndexError, and become 520.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ivr.fake_bridge import Bridge
from ivr.fake_channel import RINGING
from ivr.fake_commands import (
    BackgroundDetect,
    GetData,
    Playback,
    RecordFile,
    Running,
    StreamFile,
    Wait,
    WaitForDigit,
)
from ivr.fake_variables import expand, get_variable, set_variable

if TYPE_CHECKING:
    from ivr.fake_agi import AgiSession


class Usage(Exception):
    """The arguments of a command make no sense."""


Outcome = str | Running | None
"""A reply, a command that has begun to run, or None: it has already replied."""

Command: TypeAlias = "Callable[[AgiSession, Sequence[str]], Outcome]"


def _need(words: Sequence[str], least: int, most: int | None = None) -> None:
    if len(words) < least or (most is not None and len(words) > most):
        raise Usage


def _answer(session: AgiSession, words: Sequence[str]) -> Outcome:
    session.channel.answer()
    return "200 result=0"


def _channel_status(session: AgiSession, words: Sequence[str]) -> Outcome:
    return f"200 result={session.channel.state}"


def _hangup(session: AgiSession, words: Sequence[str]) -> Outcome:
    session.finish("200 result=1")
    session.channel.hang_up_by_us()
    return None


def _stream_file(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 2)
    return StreamFile(session, words[0], words[1], int(words[2]) if len(words) > 2 else 0)


def _wait_for_digit(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1, 1)
    return WaitForDigit(session, int(words[0]) / 1000)


def _get_data(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1)
    wait = int(words[1]) / 1000 if len(words) > 1 else 2.0
    return GetData(session, words[0], wait, int(words[2]) if len(words) > 2 else 1024)


def _record_file(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 4)
    more = [word for word in words[4:] if not word.isdigit()]
    quiet = next((float(word[2:]) for word in more if word.lower().startswith("s=")), 0.0)
    beep = "BEEP" in (word.upper() for word in more)
    path, form, digits, wait = words[:4]
    return RecordFile(session, path, form, digits, int(wait) / 1000, beep, quiet)


def _set_variable(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1)
    if len(words) > 1:
        set_variable(session.channel, words[0], words[1])
    return "200 result=1"


def _get_variable(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1, 1)
    value = get_variable(session.channel, words[0])
    return "200 result=0" if value is None else f"200 result=1 ({value})"


def _get_full_variable(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1, 2)
    return f"200 result=1 ({expand(session.channel, words[0])})"


def _set_music(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1, 2)
    if words[0].upper() == "ON":
        session.channel.music(words[1] if len(words) > 1 else "default")
    elif words[0].upper() == "OFF":
        session.channel.music_off()
    else:
        raise Usage
    return "200 result=0"


def _noop(session: AgiSession, words: Sequence[str]) -> Outcome:
    return "200 result=0"


def _verbose(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1, 2)
    return "200 result=1"


def _database_put(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 3, 3)
    session.switch.database[words[0], words[1]] = words[2]
    return "200 result=1"


def _database_get(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 2, 2)
    value = session.switch.database.get((words[0], words[1]))
    return "200 result=0" if value is None else f"200 result=1 ({value})"


def _database_del(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 2, 2)
    found = session.switch.database.pop((words[0], words[1]), None) is not None
    return f"200 result={int(found)}"


def _exec(session: AgiSession, words: Sequence[str]) -> Outcome:
    _need(words, 1)
    channel, name = session.channel, words[0].lower()
    options = words[1].split(",") if len(words) > 1 else []
    if name in ("noop", "verbose", "log"):
        return "200 result=0"
    if name == "set":
        key, _, value = (words[1] if len(words) > 1 else "").partition("=")
        set_variable(channel, key, value)
        return "200 result=0"
    if name not in _APPLICATIONS:
        return "200 result=-2"
    if channel.dead:
        return "200 result=-1"
    return _APPLICATIONS[name](session, options)


def _app_ringing(session: AgiSession, options: Sequence[str]) -> Outcome:
    if session.channel.state == RINGING:
        session.channel.ears.tell("ringing")
    return "200 result=0"


def _app_progress(session: AgiSession, options: Sequence[str]) -> Outcome:
    session.channel.early = True
    return "200 result=0"


def _app_wait(session: AgiSession, options: Sequence[str]) -> Outcome:
    return Wait(session, float(options[0]))


def _app_playback(session: AgiSession, options: Sequence[str]) -> Outcome:
    # the trap: without `noanswer` it picks up
    if "noanswer" not in options[1:]:
        session.channel.answer()
    return Playback(session, options[0].split("&"))


def _app_detect(session: AgiSession, options: Sequence[str]) -> Outcome:
    def length(place: int, default: float) -> float:
        given = options[place] if len(options) > place else ""
        return float(given) / 1000 if given else default

    session.channel.answer()
    quiet, least, most = length(1, 1.0), length(2, 0.1), length(3, float("inf"))
    return BackgroundDetect(session, options[0], quiet, least, most)


def _app_music(session: AgiSession, options: Sequence[str]) -> Outcome:
    session.channel.music(options[0] if options else "default")
    return "200 result=0"


def _app_no_music(session: AgiSession, options: Sequence[str]) -> Outcome:
    session.channel.music_off()
    return "200 result=0"


def _app_answer(session: AgiSession, options: Sequence[str]) -> Outcome:
    session.channel.answer()
    return "200 result=0"


def _app_bridge(session: AgiSession, options: Sequence[str]) -> Outcome:
    return Bridge(session, options[0] if options else "")


_APPLICATIONS: dict[str, Command] = {
    "ringing": _app_ringing,
    "progress": _app_progress,
    "wait": _app_wait,
    "playback": _app_playback,
    "backgrounddetect": _app_detect,
    "startmusiconhold": _app_music,
    "stopmusiconhold": _app_no_music,
    "answer": _app_answer,
    "bridge": _app_bridge,
}

COMMANDS: dict[str, Command] = {
    "ANSWER": _answer,
    "ASYNCAGI BREAK": _noop,
    "CHANNEL STATUS": _channel_status,
    "DATABASE DEL": _database_del,
    "DATABASE GET": _database_get,
    "DATABASE PUT": _database_put,
    "EXEC": _exec,
    "GET DATA": _get_data,
    "GET FULL VARIABLE": _get_full_variable,
    "GET VARIABLE": _get_variable,
    "HANGUP": _hangup,
    "NOOP": _noop,
    "RECORD FILE": _record_file,
    "SET MUSIC": _set_music,
    "SET VARIABLE": _set_variable,
    "STREAM FILE": _stream_file,
    "VERBOSE": _verbose,
    "WAIT FOR DIGIT": _wait_for_digit,
}

WORK_ON_DEAD = frozenset(
    {
        "ASYNCAGI BREAK",
        "DATABASE DEL",
        "DATABASE GET",
        "DATABASE PUT",
        "EXEC",
        "GET FULL VARIABLE",
        "GET VARIABLE",
        "NOOP",
        "SET VARIABLE",
        "VERBOSE",
    }
)
"""Commands that still work after the caller has gone; all others are 511."""
