"""The manager interface (AMI) of the fake Asterisk: logins, the doorbell, events.

Rules this module keeps:

- It answers every action at once, and numbers every event it sends, so that a virtual clock can
  wait until the service has seen them all.
- An account sees only the events of its filter, and may do only what its classes allow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from typing import TYPE_CHECKING, Protocol, cast

from ivr.fake_channel import STATES, Channel
from ivr.fake_originate import Order

if TYPE_CHECKING:
    from ivr.fake import FakeAsterisk

GREETING = "Asterisk Call Manager/11.0.0\r\n"
WANTED = frozenset({"ChannelTalkingStart", "ChannelTalkingStop", "Hangup", "HangupRequest"})
WANTED |= {"OriginateResponse", "DialBegin", "DialState", "DialEnd"}
WANTED |= {"PeerStatus", "ContactStatus", "FullyBooted"}
"""The events that an account's filter lets through unless told otherwise."""

LONGEST_ID = 149
"""Characters that a ChannelId may have."""

CHALLENGE = "170391734"
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in, with what rights, and which events they see (None: all); `system` is whether
    they read that class."""

    secret: str
    write: frozenset[str] = frozenset({"call", "originate", "user"})
    events: frozenset[str] | None = WANTED
    system: bool = True


class Watched(Protocol):
    """What the fake needs to know of the service's manager client to keep time standing still."""

    @property
    def events_seen(self) -> int: ...

    @property
    def pending(self) -> int: ...


class AmiSession(asyncio.Protocol):
    """One connection to the manager interface."""

    def __init__(self, server: AmiServer) -> None:
        self.server = server
        self.account: Account | None = None
        self.sees = False
        self.events_sent = 0
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._challenged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(GREETING.encode())
        self.server.sessions.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.server.lost(self)

    def data_received(self, data: bytes) -> None:
        if self.server.frozen:
            return
        *packets, self._buffer = (self._buffer + data).split(b"\r\n\r\n")
        for packet in packets:
            pairs = [
                (key.strip(), value.strip())
                for line in packet.decode("utf-8", "surrogateescape").split("\r\n")
                for key, colon, value in [line.partition(":")]
                if colon
            ]
            self.server.actions.append(pairs)
            self._act(dict(pairs), pairs)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def send(self, headers: Iterable[tuple[str, str]]) -> None:
        if self._transport is not None:
            text = "".join(f"{key}: {value}\r\n" for key, value in headers) + "\r\n"
            self._transport.write(text.encode("utf-8", "surrogateescape"))

    def event(self, name: str, headers: list[tuple[str, str]]) -> None:
        account = self.account
        if not self.sees or account is None or self._transport is None:
            return
        if account.events is None or name in account.events:
            self.events_sent += 1
            self.send(headers)

    def _act(self, action: Headers, pairs: list[tuple[str, str]]) -> None:
        name = action.get("Action", "").lower()
        if name in ("login", "challenge"):
            reply = self._login(action) if name == "login" else self._challenge(action)
        elif self.account is None:
            reply = ["Error", "Message: Permission denied"]
        else:
            reply = self._permitted(name, action, pairs)
        response, *lines = reply
        answer = [("Response", response)]
        if "ActionID" in action:
            answer.append(("ActionID", action["ActionID"]))
        answer += [(key, value) for key, _, value in (line.partition(": ") for line in lines)]
        self.send(answer)
        if name == "login" and response == "Success":
            self._booted()
        if reply[-1].endswith("Authentication failed") or response == "Goodbye":
            self.close()

    def _challenge(self, action: Headers) -> list[str]:
        if action.get("AuthType", "").upper() != "MD5":
            return ["Error", "Message: Must specify AuthType"]
        self._challenged = True
        return ["Success", f"Challenge: {CHALLENGE}"]

    def _login(self, action: Headers) -> list[str]:
        account = self.server.accounts.get(action.get("Username", ""))
        failed = ["Error", "Message: Authentication failed"]
        if account is None:
            return failed
        if action.get("AuthType", "").upper() == "MD5":
            key = md5((CHALLENGE + account.secret).encode()).hexdigest()
            if not self._challenged or action.get("Key") != key:
                return failed
        elif action.get("Secret") != account.secret:
            return failed
        self.account = account
        self.sees = action.get("Events", "on").lower() != "off"
        self.server.logged_in(self)
        return ["Success", "Message: Authentication accepted"]

    def _booted(self) -> None:
        """Who reads class `system` is told that Asterisk is up, whatever their filter says."""
        if self.sees and self.account is not None and self.account.system:
            uptime = str(int(self.server.switch.clock.now()))
            told = [("Uptime", uptime), ("LastReload", uptime), ("Status", "Fully Booted")]
            self.events_sent += 1
            self.send([("Event", "FullyBooted"), ("Privilege", "system,all"), *told])

    def _permitted(self, name: str, action: Headers, pairs: Pairs) -> list[str]:
        assert self.account is not None
        if name not in ACTIONS:
            return [
                "Error",
                f"Message: Invalid/unknown command: {action.get('Action', '')}. "
                "Use Action: ListCommands to show available commands.",
            ]
        classes, handler = ACTIONS[name]
        if classes and not classes & self.account.write:
            return ["Error", "Message: Permission denied"]
        return handler(self, action, pairs)


@dataclass
class AmiServer:
    """The manager interface: who may log in, who is, and what was asked and told.

    `frozen` makes it deaf: it reads and never answers, as an Asterisk that hangs.
    """

    switch: FakeAsterisk
    accounts: dict[str, Account]
    frozen: bool = False
    sessions: list[AmiSession] = field(default_factory=list)
    actions: list[list[tuple[str, str]]] = field(default_factory=list)
    watched: Watched | None = None
    _seen_before: int = 0

    def event(self, name: str, channel: Channel, extra: Headers, prefix: str = "") -> None:
        """Something happened to a channel; `prefix` stands before what is said of it."""
        if any(session.sees for session in self.sessions):
            snapshot = [(prefix + key, value) for key, value in _snapshot(channel)]
            self.tell(name, "call", [*snapshot, *extra.items()])

    def tell(self, name: str, group: str, headers: Iterable[tuple[str, str]]) -> None:
        """An event of this class goes to all who see it."""
        first = [("Event", name), ("Privilege", f"{group},all")]
        if self.switch.system:
            first.append(("SystemName", self.switch.system))
        headers = list(headers)
        for session in self.sessions:
            if group != "system" or (session.account is not None and session.account.system):
                session.event(name, [*first, *headers])

    def logged_in(self, session: AmiSession) -> None:
        if self.watched is not None:
            self._seen_before = self.watched.events_seen

    def lost(self, session: AmiSession) -> None:
        self.sessions.remove(session)

    def cut(self) -> None:
        """The network fails: every connection is reset."""
        for session in list(self.sessions):
            session.abort()

    def idle(self) -> bool:
        """Whether the service has seen every event sent and waits for no reply."""
        if self.watched is None:
            return True
        if self.watched.pending:
            return False
        sent = 0
        for session in self.sessions:
            sent += session.events_sent
        return self.watched.events_seen - self._seen_before >= sent


def _snapshot(channel: Channel) -> list[tuple[str, str]]:
    return [
        ("Channel", channel.name),
        ("ChannelState", str(channel.state)),
        ("ChannelStateDesc", STATES[channel.state]),
        ("CallerIDNum", channel.caller or "<unknown>"),
        ("CallerIDName", "<unknown>"),
        ("ConnectedLineNum", "<unknown>"),
        ("ConnectedLineName", "<unknown>"),
        ("Language", channel.language),
        ("AccountCode", ""),
        ("Context", channel.context),
        ("Exten", channel.exten),
        ("Priority", "3"),
        ("Uniqueid", channel.uniqueid),
        ("Linkedid", channel.uniqueid),
    ]


# ---------------------------------------------------------------- the actions

Pairs = Sequence[tuple[str, str]]
Handler = Callable[[AmiSession, Headers, Pairs], list[str]]


def _ping(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    switch = session.server.switch
    return ["Success", "Ping: Pong", f"Timestamp: {switch.epoch + switch.clock.now():.6f}"]


def _logoff(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    return ["Goodbye", "Message: Thanks for all the fish."]


def _events(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    session.sees = action.get("EventMask", "on").lower() not in ("off", "")
    return ["Success", f"Events: {'On' if session.sees else 'Off'}"]


def _play_dtmf(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    digit = action.get("Digit", "")
    if not action.get("Channel"):
        return ["Error", "Message: Channel not specified"]
    if not digit:
        return ["Error", "Message: No digit specified"]
    channel = session.server.switch.channel(action["Channel"])
    if channel is None:
        return ["Error", "Message: Channel not found"]
    if action.get("Receive", "").lower() in ("true", "yes", "1", "on"):
        channel.doorbell(digit)
    return ["Success", "Message: DTMF successfully queued"]


def _hangup(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    channel = session.server.switch.channel(action.get("Channel", ""))
    if channel is None:
        return ["Error", "Message: No such channel"]
    channel.hang_up_by_us()
    return ["Success", "Message: Channel Hungup"]


def _set_variable(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    from ivr.fake_variables import set_variable

    channel = session.server.switch.channel(action.get("Channel", ""))
    if channel is None:
        return ["Error", "Message: No such channel"]
    set_variable(channel, action.get("Variable", ""), action.get("Value", ""))
    return ["Success", "Message: Variable Set"]


def _get_variable(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    kind, _, phone = action.get("Variable", "").removesuffix(")").partition("(PJSIP/")
    if kind == "DEVICE_STATE" and not action.get("Channel"):
        known = session.server.switch.phones.get(phone)
        state = "INVALID" if known is None else known.device_state
        return ["Success", f"Variable: {action['Variable']}", f"Value: {state}"]
    channel = session.server.switch.channel(action.get("Channel", ""))
    if channel is None:
        return ["Error", "Message: No such channel"]
    name = action.get("Variable", "")
    value = channel.uniqueid if name == "UNIQUEID" else channel.variables.get(name, "")
    return ["Success", f"Variable: {name}", f"Value: {value}"]


def _originate(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    kind, _, address = action.get("Channel", "").partition("/")
    if not kind:
        return ["Error", "Message: Channel not specified"]
    if not address:
        return ["Error", "Message: Invalid channel"]
    if len(action.get("ChannelId", "")) > LONGEST_ID:
        return ["Error", f"Message: Uniqueid length exceeds maximum of {LONGEST_ID}"]
    if action.get("Application"):
        return ["Error", "Message: Originate Access Forbidden: app or data blacklisted"]
    if not action.get("Exten") or action.get("Context") not in session.server.switch.contexts:
        return ["Error", "Message: Extension does not exist."]
    given = [value for key, value in pairs if key == "Variable"]
    variables = [one.partition("=") for value in given for one in value.split(",")]
    number = action.get("CallerID", "").rpartition("<")[2].rstrip(">")
    session.server.switch.ring(
        Order(
            phone=address.partition("@")[0],
            channel_id=action.get("ChannelId", ""),
            context=action["Context"],
            exten=action["Exten"],
            timeout=int(action.get("Timeout", "30000")) / 1000,
            caller=number,
            variables=tuple((name, value) for name, _, value in variables),
            action_id=action.get("ActionID", ""),
        )
    )
    return ["Success", "Message: Originate successfully queued"]


def _user_event(session: AmiSession, action: Headers, pairs: Pairs) -> list[str]:
    if not action.get("UserEvent"):
        return ["Error", "Message: Missing UserEvent"]
    headers = [pair for pair in pairs if pair[0] not in ("Action", "ActionID", "UserEvent")]
    session.server.tell("UserEvent", "user", [("UserEvent", action["UserEvent"]), *headers])
    return ["Success", "Message: Event Sent"]


CALL = frozenset({"call"})
ACTIONS: dict[str, tuple[frozenset[str], Handler]] = {
    "ping": (frozenset(), _ping),
    "logoff": (frozenset(), _logoff),
    "events": (frozenset(), _events),
    "playdtmf": (CALL, _play_dtmf),
    "hangup": (CALL, _hangup),
    "getvar": (CALL, _get_variable),
    "originate": (frozenset({"originate"}), _originate),
    "setvar": (CALL, _set_variable),
    "userevent": (frozenset({"user"}), _user_event),
}
"""Each action, the classes of which the account needs one, and what it does."""
