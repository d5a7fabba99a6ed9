"""Who works for a line: departments, agents, how callers are transferred, and feature codes.

Rules this module keeps:

- Pure: it is given a hotline's document and gives back values. Which agent does what at the
  moment is in the database (`ivr.agents`).
- An agent is a staff number and a title. Names are not written here at all, so that no prompt,
  screen or report can give one away (XJCA-6.1f).
- `phone` is the name of an endpoint of the switch, of letters, digits, `-` and `_` alone: it is
  all of an agent that ever becomes part of a dial string. One phone may serve several lines.
- Feature codes begin with `*`, and none is the beginning of another or of `*81` and `*82`, which
  every agent's phone dials to be rung or not to be rung.

Written in a hotline's file as:

    departments:
      service: {title: 客服部, minutes: 3}
    agents:
      - {staff_number: "801", phone: "801", departments: [service], title: 客服代表}
    transfer: {department: service, ring: 20 s, limit: 10 min, wrap_up: 20 s, misses: 2,
               attempts: 5, hold_limit: 5 min,
               webhook: {url: "https://desk.example/notes", token: DESK_TOKEN}}
    features:
      hold: {code: "*1"}
      back: {code: "*2"}
      slow: {code: "*31", say: sentence.slow}
      staff_number: {code: "*40", say: [sentence.first, sentence.again]}
      harassment: {code: "*39", steps: [sentence.warning, sentence.end]}   # the last ends the call
      superior: {code: "*59", asks: bridged.ask_superior}   # a hold with a question of its own
      upset: {code: "*45", keeps: upset}     # a ticket of this kind; then message.kept.upset

Serves XJCA-5k, XJCA-6.1f, XJCA-6.2b, LKL-4.7, LKL-5.4, EMS-3 (the code that ends a harassing call).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ivr.document import BadFile, Map, Seq, Text, Trying, Value, known_keys, problem, whole
from ivr.ticket_rules import Webhook, webhook

READY = "*81"
"""What an agent's phone dials to be rung from now on (示闲)."""
BUSY = "*82"
"""What an agent's phone dials not to be rung any more (示忙)."""
HOLD = "hold"
"""The feature that puts the caller on hold, if the caller agrees."""
BACK = "back"
"""The feature that ends any hold. Alone of all it is pressed while the agent hears music."""

DOINGS = ("say", "steps", "keeps", "asks")
"""What a feature does, one of these."""
KEPT = "message.kept."
"""How the prompts begin that say that a message is kept; then comes its kind."""
ASKS = "bridged.ask_"
"""How the prompts begin that ask a caller to wait for an agent in words of their own."""

MINUTES = 3
"""How long a talk takes where a department does not say, in minutes."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
PHONE = re.compile(r"[A-Za-z0-9_-]{1,32}")
STAFF_NUMBER = re.compile(r"[0-9]{1,10}")
CODE = re.compile(r"\*[0-9*]{1,5}")


@dataclass(frozen=True, slots=True)
class Department:
    """A department: its title, and how many minutes a talk takes until there are figures."""

    name: str
    title: str
    minutes: int = MINUTES


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who takes calls: known to callers by staff number and title only."""

    staff_number: str
    phone: str
    departments: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Transfer:
    """How this line transfers. Lengths are in seconds.

    `department` is who is asked for if nothing else is said. A phone rings for `ring`; a caller
    waits for `limit` at most, and `attempts` agents are tried. After a talk an agent is left in
    peace for `wrap_up`; who misses `misses` calls in a row is set busy. A caller on hold whose
    agent is not back within `hold_limit` goes back into the waiting line. `webhook` is told of
    every note, None for none. A conversation longer than `long_talk` is one that the supervisor
    sees listed (XJCA-5g).
    """

    department: str = ""
    ring: float = 20.0
    limit: float = 600.0
    wrap_up: float = 20.0
    misses: int = 2
    attempts: int = 5
    hold_limit: float = 300.0
    webhook: Webhook | None = None
    long_talk: float = 900.0


@dataclass(frozen=True, slots=True)
class Feature:
    """What an agent may key in a conversation.

    `says` are the prompts that the caller hears: the first at the first time, the next at the
    next; none for `hold` and `back`. `ends`: the last of them ends the call. `keeps`: before it is
    said, a message of this kind is kept with the caller's number, and opens its ticket. `asks`:
    the question before a hold that is asked for in words of its own, as the agent has to ask a
    superior; it says nothing else.
    """

    name: str
    code: str
    says: tuple[str, ...] = ()
    ends: bool = False
    keeps: str = ""
    asks: str = ""

    @property
    def holds(self) -> bool:
        """Whether the caller is put on hold by it, if the caller agrees."""
        return self.name == HOLD or bool(self.asks)

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt that it can say."""
        return (*self.says, self.asks) if self.asks else self.says

    def saying(self, times: int) -> str:
        """The prompt for a caller who has heard this `times` times; empty if it says nothing."""
        return self.says[min(times, len(self.says) - 1)] if self.says else ""

    def is_last(self, times: int) -> bool:
        """Whether the call ends with what is said to who has heard this `times` times."""
        return self.ends and times >= len(self.says) - 1


@dataclass(frozen=True, slots=True)
class Staff:
    """The people of one line: `departments` and `features` by name, `agents` by staff number.
    All empty where a line has nobody to transfer to."""

    departments: Mapping[str, Department] = field(default_factory=dict)
    agents: Mapping[str, Agent] = field(default_factory=dict)
    transfer: Transfer = Transfer()
    features: Mapping[str, Feature] = field(default_factory=dict)

    def of(self, department: str) -> tuple[Agent, ...]:
        """The agents of a department, in the order written."""
        return tuple(one for one in self.agents.values() if department in one.departments)

    def minutes(self, department: str) -> int:
        """How long a talk takes there, in minutes, until there are figures."""
        found = self.departments.get(department)
        return found.minutes if found is not None else MINUTES

    @property
    def prompts(self) -> tuple[str, ...]:
        """Every prompt that a feature can say, each once, in the order written."""
        return tuple(dict.fromkeys(say for one in self.features.values() for say in one.prompts))


NOBODY = Staff()
"""The staff of a line that has none."""

KEYS = ("departments", "agents", "transfer", "features")
"""The keys of a hotline's file that are read here."""


def parse(hotline: Map) -> Staff:
    """The staff of a line. Raises BadFile with every problem found."""
    return _Reader(hotline).read()


class _Reader(Trying):
    """Reads one hotline's keys."""

    def __init__(self, hotline: Map) -> None:
        super().__init__()
        self.hotline = hotline

    def read(self) -> Staff:
        departments = {
            str(name): self.department(name, at) for name, at in self.map("departments").items()
        }
        agents = self.agents(departments)
        transfer = self.transfer(departments)
        features = {str(name): self.feature(name, at) for name, at in self.map("features").items()}
        self.codes()
        if self.problems:
            raise BadFile(self.problems)
        return Staff(departments, agents, transfer, features)

    # -- helpers

    def wrong(self, at: Any, code: str, what: str, fix: str) -> None:
        self.problems.append(problem(at, code, what, fix))

    def map(self, key: str) -> Map:
        at = self.hotline.get(key, Map())
        if isinstance(at, Map):
            return at
        self.wrong(at, "F103", f"'{key}' takes settings", f"write {key}: {{…}}")
        return Map()

    def settings(self, at: Value, what: str, allowed: tuple[str, ...], needed: str = "") -> Map:
        """The settings of one entry, with unknown keys and a missing one told."""
        if not isinstance(at, Map):
            self.wrong(at, "F103", f"{what} takes settings", f"write {{{allowed[0]}: …}}")
            return Map()
        self.problems += known_keys(at, allowed)
        for key in needed.split():
            if not at.get(key):
                self.wrong(at, "F107", f"{what} needs '{key}'", f"add {key}: …")
        return at

    def texts(self, at: Value, what: str) -> list[Text]:
        listed = at if isinstance(at, Seq) else [at]
        texts = [one for one in listed if isinstance(one, Text) and one]
        if not texts or len(texts) != len(listed):
            self.wrong(at, "F103", f"{what} are a list of names", "write [one, two]")
        return texts

    def name(self, name: str, what: str) -> None:
        if not NAME.fullmatch(name):
            fix = "use small letters, digits and _, 32 at most"
            self.wrong(name, "F108", f"'{name}' is no name for {what}", fix)

    # -- who

    def department(self, name: str, given: Value) -> Department:
        self.name(name, "a department")
        at = self.settings(given, "a department", ("title", "minutes"), "title")
        minutes = self.setting(whole, at, "minutes", MINUTES, 1, 120)
        return Department(str(name), str(at.get("title", "")), minutes)

    def agents(self, departments: Mapping[str, Department]) -> dict[str, Agent]:
        listed = self.hotline.get("agents", Seq())
        if not isinstance(listed, Seq):
            fix = 'write - {staff_number: "801", phone: "801", departments: [service]}'
            self.wrong(listed, "F103", "agents are a list", fix)
            return {}
        agents: dict[str, Agent] = {}
        phones: set[str] = set()
        for given in listed:
            agent = self.agent(given, departments)
            for key, value, known in (
                ("staff_number", agent.staff_number, agents),
                ("phone", agent.phone, phones),
            ):
                if value and value in known:
                    what = f"the {key} '{value}' stands here twice"
                    self.wrong(given[key], "F106", what, "give each agent one of their own")
            agents[agent.staff_number] = agent
            phones.add(agent.phone)
        return agents

    def agent(self, given: Value, departments: Mapping[str, Department]) -> Agent:
        keys = ("staff_number", "phone", "departments", "title")
        at = self.settings(given, "an agent", keys, "staff_number phone departments")
        number, phone = str(at.get("staff_number", "")), str(at.get("phone", ""))
        if number and not STAFF_NUMBER.fullmatch(number):
            fix = "use 1 to 10 digits: callers key it in, and hear it"
            self.wrong(at["staff_number"], "F701", f"'{number}' is no staff number", fix)
        if phone and not PHONE.fullmatch(phone):
            fix = "use the endpoint's name: letters, digits, - and _, 32 at most"
            self.wrong(at["phone"], "F702", f"'{phone}' is no phone of the switch", fix)
        serves = self.texts(at["departments"], "departments") if "departments" in at else []
        for name in serves:
            if name not in departments:
                fix = f"use one of {', '.join(departments) or 'those under departments:'}"
                self.wrong(name, "F703", f"there is no department '{name}'", fix)
        return Agent(number, phone, tuple(map(str, serves)), str(at.get("title", "")))

    # -- how

    def transfer(self, departments: Mapping[str, Department]) -> Transfer:
        keys = tuple(Transfer.__slots__)
        given = self.map("transfer")
        at = self.settings(given, "transfer", keys)
        default = Transfer()
        first = next(iter(departments), "")
        name = str(at.get("department", first))
        if name != first and name not in departments:
            fix = f"use one of {', '.join(departments) or 'those under departments:'}"
            self.wrong(at["department"], "F703", f"there is no department '{name}'", fix)
        lengths = {
            key: self.length(at, key, getattr(default, key), least, most)
            for key, least, most in (
                ("ring", 5.0, 120.0),
                ("limit", 30.0, 7200.0),
                ("wrap_up", 0.0, 3600.0),
                ("hold_limit", 30.0, 3600.0),
                ("long_talk", 60.0, 7200.0),
            )
        }
        hook = webhook(at["webhook"], self.problems) if "webhook" in at else None
        return Transfer(
            department=name,
            misses=self.setting(whole, at, "misses", default.misses, 1, 9),
            attempts=self.setting(whole, at, "attempts", default.attempts, 1, 20),
            webhook=hook,
            **lengths,
        )

    # -- feature codes

    def feature(self, name: str, given: Value) -> Feature:
        self.name(name, "a feature")
        at = self.settings(given, "a feature", ("code", *DOINGS), "code")
        code = str(at.get("code", ""))
        if code and not CODE.fullmatch(code):
            fix = "write * and one to five digits or *"
            self.wrong(at["code"], "F705", f"'{code}' is no feature code", fix)
        if name in (HOLD, BACK):
            if any(key in at for key in DOINGS):
                self.wrong(at, "F706", f"'{name}' says nothing of its own", "give it a code only")
            return Feature(str(name), code)
        if sum(key in at for key in DOINGS) != 1:
            what = f"the feature '{name}' does not say what it does"
            fix = "give it say: prompt, steps: [prompt, prompt], keeps: kind or asks: prompt"
            self.wrong(at, "F706", what, fix)
            return Feature(str(name), code)
        if "keeps" in at:
            return Feature(str(name), code, *self.keeps(at["keeps"]))
        if "asks" in at:
            return Feature(str(name), code, asks=self.question(at["asks"]))
        if "say" in at:
            return Feature(str(name), code, tuple(map(str, self.texts(at["say"], "sentences"))))
        steps = self.texts(at["steps"], "steps")
        return Feature(str(name), code, tuple(map(str, steps)), ends=True)

    def keeps(self, kind: Value) -> tuple[tuple[str, ...], bool, str]:
        """What is said and kept for a kind of message whose ticket is somebody's."""
        tickets = self.hotline.get("tickets")
        kinds = tickets.get("kinds") if isinstance(tickets, Map) else None
        known = kinds if isinstance(kinds, Map) else Map()
        if not isinstance(kind, Text) or kind not in known:
            fix = f"use one of {', '.join(known) or 'those under tickets: kinds:'}"
            self.wrong(kind, "F709", f"nobody is named for tickets of the kind '{kind}'", fix)
        return (f"{KEPT}{kind}",), False, str(kind)

    def question(self, asks: Value) -> str:
        """The one question before a hold; its name says that it is one, as monitors read it."""
        if not isinstance(asks, Text) or not asks.startswith(ASKS):
            fix = f"give one prompt whose name begins with {ASKS}"
            self.wrong(asks, "F706", "this is no question before a hold", fix)
        return str(asks)

    def codes(self) -> None:
        """Asterisk takes the first code that fits; one that begins another would hide it."""
        taken = {READY: "be ready", BUSY: "be busy"}
        for name, given in self.map("features").items():
            if not isinstance(given, Map) or not isinstance(given.get("code"), Text):
                continue
            code = given["code"]
            for other, whose in taken.items():
                if code.startswith(other) or other.startswith(code):
                    what = f"the code {code} of '{name}' and {other} ({whose}) are mixed up"
                    fix = "no code may be the beginning of another"
                    self.wrong(code, "F707", what, fix)
            taken[str(code)] = str(name)
        features = self.map("features")
        asks = [at for at in features.values() if isinstance(at, Map) and "asks" in at]
        if (HOLD in features or bool(asks)) != (BACK in features):
            at = features.get(HOLD, features.get(BACK, asks[0] if asks else None))
            what = "a hold needs a code to begin it and a code to end it"
            self.wrong(at, "F708", what, f"give {HOLD} and {BACK}")
