"""Channel variables and functions of the fake Asterisk: the few that a hotline asks for.

Rules this module keeps:

- What a caller put into a variable is never taken for another variable's name.
- A function that is not modelled is empty, as one that Asterisk knows but has no value for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivr.fake_channel import Channel


def set_variable(channel: Channel, name: str, value: str) -> None:
    """SET VARIABLE; a name with brackets is a function. Raises ValueError on a bad number."""
    name = name.lstrip("_")
    if name == "TALK_DETECT(set)":
        channel.detect(value)
    elif name == "TALK_DETECT(remove)":
        channel.detect(None)
    elif name == "TIMEOUT(absolute)":
        channel.absolute(float(value))
    elif name == "CHANNEL(language)":
        channel.language = value
    elif name.startswith("DB(") and name.endswith(")"):
        family, _, key = name[3:-1].partition("/")
        channel.switch.database[family, key] = value
    else:
        channel.variables[name] = value


def _passed(channel: Channel) -> float:
    return channel.clock.now() - channel.began


_FUNCTIONS: dict[str, Callable[[Channel], str]] = {
    "CHANNEL": lambda channel: channel.name,
    "UNIQUEID": lambda channel: channel.uniqueid,
    "EXTEN": lambda channel: channel.number,
    "CONTEXT": lambda channel: channel.context,
    "SYSTEMNAME": lambda channel: channel.switch.system,
    "CALLERID(num)": lambda channel: channel.caller,
    "CHANNEL(language)": lambda channel: channel.language,
    "CHANNEL(name)": lambda channel: channel.name,
    "CHANNEL(uniqueid)": lambda channel: channel.uniqueid,
    "CHANNEL(state)": lambda channel: "Up" if channel.up else "Ring",
    "CDR(duration,f)": lambda channel: f"{_passed(channel):.6f}",
    "CDR(duration)": lambda channel: str(int(_passed(channel))),
    "CDR(start,u)": lambda channel: f"{channel.switch.epoch + channel.began:.6f}",
    "EPOCH": lambda channel: str(int(channel.switch.epoch + channel.clock.now())),
    "TIMEOUT(absolute)": lambda channel: f"{channel.absolute_left():.3f}",
}


def get_variable(channel: Channel, name: str) -> str | None:
    """GET VARIABLE: its value, None if it was never set."""
    if name in channel.variables:
        return channel.variables[name]
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](channel)
    if name.startswith("DB(") and name.endswith(")"):
        family, _, key = name[3:-1].partition("/")
        return channel.switch.database.get((family, key), "")
    return "" if name.endswith(")") else None


def expand(channel: Channel, text: str) -> str:
    """A text with its `${…}` filled in; what is not set is empty."""
    parts: list[str] = []
    place = 0
    while (start := text.find("${", place)) != -1:
        depth, end = 1, start + 2
        while end < len(text) and depth:
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        name = text[start + 2 : end - 1 if not depth else end]
        parts += [text[place:start], get_variable(channel, expand(channel, name)) or ""]
        place = end
    return "".join([*parts, text[place:]])
