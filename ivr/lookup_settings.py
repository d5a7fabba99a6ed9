"""What a hotline's file says of its lookups (`ivr.lookup` shows how it is written).

Rules this module keeps:

- Pure: nothing is asked here, no address is opened.
- Every problem is told with file and line, all at once.
- An address's scheme and host are fixed by the file: a caller's value may stand in the path or
  the query only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sqlalchemy import text as sql_text

from ivr.document import (
    BadFile,
    Map,
    Problem,
    Seq,
    Text,
    Trying,
    Value,
    bad,
    known_keys,
    seconds,
    truth,
)

PLACE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
"""A caller's value in an address."""

_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_COMMON = ("kind", "fields", "results", "several", "arguments", "expected", "limit", "delay")
_OWN = {"sql": ("database", "query"), "http": ("url", "token")}


@dataclass(frozen=True, slots=True)
class Setting:
    """One lookup: what is asked, with which of the call's values, and what may come back.

    `fields` are names with their places in a JSON answer (for SQL, the column of that name).
    `several` says that there may be more than one of it. `expected`, `limit` and `delay` are in
    seconds.
    """

    kind: str
    fields: tuple[tuple[str, str], ...]
    needs: tuple[str, ...]
    database: str = ""
    query: str = ""
    url: str = ""
    token: str = ""
    results: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    several: bool = False
    expected: float = 10.0
    limit: float = 120.0
    delay: float = 0.0


def parse(hotline: Map) -> dict[str, Setting]:
    """The lookups of a line, from its key `lookups`. Raises BadFile."""
    problems: list[Problem] = []
    settings: dict[str, Setting] = {}
    listed = hotline.get("lookups", Map())
    if not isinstance(listed, Map):
        raise bad(listed, "F103", "lookups are a mapping", "write item: {kind: sql, …}")
    for name, at in listed.items():
        try:
            settings[str(name)] = _setting(at)
        except BadFile as error:
            problems += error.problems
    if problems:
        raise BadFile(problems)
    return settings


def _setting(at: Value) -> Setting:
    if not isinstance(at, Map):
        raise bad(at, "F103", "a lookup takes settings", "write {kind: sql, …}")
    kind = at.get("kind", "")
    if kind not in _OWN:
        raise bad(kind or at, "F621", f"'{kind}' is no kind of lookup", "use sql or http")
    problems = known_keys(at, (*_COMMON, *_OWN[kind]))
    needed = ("fields", "database", "query") if kind == "sql" else ("fields", "url")
    for key in needed:
        if not at.get(key):
            what = f"a lookup of kind {kind} needs '{key}'"
            problems += bad(at, "F107", what, f"add {key}: …").problems
    if problems:
        raise BadFile(problems)
    fields = _fields(at["fields"], problems)
    results = _results(at.get("results", Map()), [name for name, _ in fields], problems)
    reader = Trying(problems)
    times = {
        key: reader.setting(seconds, at, key, 0.0)
        for key in ("expected", "limit", "delay")
        if key in at
    }
    if times.get("limit") == 0:
        problems += bad(at["limit"], "F622", "a limit of nothing", "write e.g. 60 s").problems
    several = reader.setting(truth, at, "several", False)
    needs = _sql(at, problems) if kind == "sql" else _http(at, problems)
    if problems:
        raise BadFile(problems)
    return Setting(
        kind=str(kind),
        fields=fields,
        needs=needs,
        database=str(at.get("database", "")),
        query=str(at.get("query", "")),
        url=str(at.get("url", "")),
        token=str(at.get("token", "")),
        results=results,
        several=several,
        **times,
    )


def _fields(at: Value, problems: list[Problem]) -> tuple[tuple[str, str], ...]:
    pairs = at.items() if isinstance(at, Map) else [(name, name) for name in at]
    if not isinstance(at, Map | Seq):
        raise bad(at, "F103", "fields are a list or a mapping", "write [status]")
    for name, path in pairs:
        if not isinstance(name, Text) or not _NAME.fullmatch(name):
            what = f"'{name}' is no name for a value"
            problems += bad(name, "F623", what, "use small letters, digits and _").problems
        if not isinstance(path, Text) or not path:
            what = f"'{path}' is no place in an answer"
            problems += bad(path, "F623", what, "write e.g. data.status").problems
    return tuple((str(name), str(path)) for name, path in pairs)


def _results(at: Value, names: list[str], problems: list[Problem]) -> dict[str, tuple[str, ...]]:
    if not isinstance(at, Map):
        raise bad(at, "F103", "results are a mapping", "write {status: [open, done]}")
    problems += known_keys(at, names)
    allowed = {}
    for name, values in at.items():
        if not isinstance(values, Seq) or not values:
            what = f"what '{name}' may be is a list"
            problems += bad(values, "F103", what, "write [open, done]").problems
        else:
            allowed[str(name)] = tuple(str(value) for value in values)
    return allowed


def _sql(at: Map, problems: list[Problem]) -> tuple[str, ...]:
    database, query = at["database"], at["query"]
    if not _NAME.fullmatch(database):
        what = f"'{database}' is no database's name"
        fix = "write samples, or a name whose address is in SANSHENG_LOOKUP_<NAME>"
        problems += bad(database, "F624", what, fix).problems
    if not re.match(r"\s*(SELECT|WITH)\b", query, re.IGNORECASE):
        problems += bad(query, "F625", "a lookup only reads", "begin with SELECT").problems
    return tuple(sorted(sql_text(query).compile().params))


def _http(at: Map, problems: list[Problem]) -> tuple[str, ...]:
    url, token = at["url"], at.get("token", "")
    parts = urlsplit(str(url))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = f"'{url}' is no address"
        problems += bad(url, "F626", what, "write https://host/path/{item}").problems
    if "{" in parts.netloc or "@" in parts.netloc:
        what = "the host of a lookup is fixed, and holds no password"
        problems += bad(url, "F626", what, "use {…} in the path only, and token").problems
    if "{" in PLACE.sub("", url) or "}" in PLACE.sub("", url):
        what = "a brace in the address belongs to no value"
        problems += bad(url, "F626", what, "write e.g. {item}").problems
    if token and not re.fullmatch(r"[A-Z][A-Z0-9_]*", token):
        what = f"'{token}' is no environment variable"
        fix = "name the variable that holds the token, never the token"
        problems += bad(token, "F627", what, fix).problems
    return tuple(sorted(set(PLACE.findall(url))))
