"""A conversation with the pure machine, step by step: for tests of activities and of `step`."""

from __future__ import annotations

from ivr import actions, events, files
from ivr.actions import Action, Foreground
from ivr.call import Call, step
from ivr.events import Event, Offered
from ivr.flow import Line
from ivr.line_compiler import compile_line


def line(flows: str, hotline: str = "") -> Line:
    """A line of the flows in a text, one after another, separated by `---`."""
    documents = {}
    for source in flows.split("---"):
        document = files.parse(source, "flow.yaml")
        documents[str(document["flow"])] = document
    text = 'hotline: shop\nnumbers: {"1": {}}\n' + hotline
    prompts = dict.fromkeys((*"abcdefghij", "bridged.ask_superior"), ()) | {"read": ("number",)}
    return compile_line(files.parse(text, "shop.yaml"), documents, prompts)


def one(state: str, *rows: str, hotline: str = "") -> Line:
    """A line whose only flow does one thing in the state `doing`; each trigger in `rows` leads to
    a state that is named after it and says nothing more."""
    triggers = "".join(
        f"  - {{trigger: {trigger}, source: doing, dest: {trigger}}}\n" for trigger in rows
    )
    rest = "".join(f"  - {{name: {trigger}, say: {{prompt: j}}}}\n" for trigger in rows)
    return line(
        f"flow: call\ninitial: doing\nstates:\n  - {{name: doing, {state}}}\n{rest}"
        f"transitions:\n{triggers}",
        hotline,
    )


class Talk:
    """One call: tells the machine what happens, and remembers what it wants."""

    def __init__(self, line: Line, **offered: object) -> None:
        self.line = line
        self.call = Call()
        self.wants: tuple[Action, ...] = ()
        self.heard: list[str] = []
        self.awaits: dict[str, int] = {}
        self.tell(Offered("1", **offered))  # type: ignore[arg-type]

    def tell(self, event: Event) -> Talk:
        self.call, self.wants = step(self.line, self.call, event)
        for want in self.wants:
            if isinstance(want, Foreground):
                self.awaits["foreground"] = want.id
            elif isinstance(want, actions.SetTimer):
                self.awaits[want.name] = want.id
            elif isinstance(
                want,
                actions.LookUp
                | actions.Keep
                | actions.Survey
                | actions.JoinLine
                | actions.RingAgent,
            ):
                self.awaits[type(want).__name__] = want.id
            if isinstance(want, actions.Say):
                self.heard.append(want.prompt)
        return self

    @property
    def where(self) -> str:
        """The state of the topmost frame."""
        return self.call.frames[-1].state

    @property
    def foreground(self) -> int:
        return self.awaits["foreground"]

    def said(self) -> Talk:
        return self.tell(events.Said(self.foreground))

    def silence(self) -> Talk:
        return self.tell(events.Silence(self.foreground))

    def keys(self, keys: str) -> Talk:
        for key in keys:
            self.tell(events.Key(key))
        return self

    def speaks(self) -> Talk:
        """A voice, heard out."""
        self.tell(events.Voice())
        return self.tell(events.HeardOut(self.foreground))

    def fires(self, name: str) -> Talk:
        """The timer with this name."""
        return self.tell(events.TimerFired(self.awaits[name]))


class Conversation(Talk):
    """A caller who has waited for agent 801, and talks to them now."""

    def __init__(self, line: Line, **offered: object) -> None:
        super().__init__(line, **offered)
        self.tell(events.Claimed(self.awaits["JoinLine"], "801"))
        self.said()
        self.leg = self.awaits["RingAgent"]
        self.tell(events.AgentAccepted(self.leg))
        self.bridge = self.foreground
        assert self.wants[-1] == actions.Bridge(self.bridge, self.leg)
        self.heard.clear()
