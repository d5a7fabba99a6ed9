"""What can go wrong on the AGI wire.

Rules this module keeps:

- Errors come in two families: `Ours` is a bug of ours, `Theirs` is Asterisk, the network or the
  caller.
- Programs that know pyst2's exceptions, such as `asterisk.agi.AGIHangup`, know ours.
- No exception quotes what a caller said.
"""

from __future__ import annotations

import asterisk.agi as pyst2


class _Explained(pyst2.AGIException):  # type: ignore[misc]  # pyst2 has no types
    """The first line of the class's docstring is its message, followed by the detail."""

    def __init__(self, detail: str = "") -> None:
        sentence = (self.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        super().__init__(f"{sentence}: {detail}" if detail else sentence)
        self.detail = detail


class Ours(_Explained):
    """We broke the rules of AGI: a bug of ours."""


class UnsafeArgument(Ours, ValueError):
    """A command holds what AGI cannot carry."""


class Busy(Ours):
    """A command was given while another runs on this session."""


class Closed(Ours):
    """A command was given to a session that we have closed."""


class UnknownCommand(Ours, pyst2.AGIInvalidCommand):  # type: ignore[misc]
    """Asterisk does not know this command (510)."""


class WrongUse(Ours, pyst2.AGIUsageError):  # type: ignore[misc]
    """Asterisk does not accept these arguments (520)."""


class Theirs(_Explained):
    """Asterisk, the network or the caller did something that has to be dealt with."""


class Failed(Theirs, pyst2.AGIUnknownError):  # type: ignore[misc]
    """Asterisk could not carry out a command."""


class Gone(Theirs, pyst2.AGIHangup):  # type: ignore[misc]
    """Nobody is left to talk to: the base of all ends that we did not choose."""


class HungUp(Gone, pyst2.AGISIGHUPHangup):  # type: ignore[misc]
    """Asterisk said HANGUP: the call is over."""


class LeftInCommand(Gone, pyst2.AGIResultHangup):  # type: ignore[misc]
    """The caller hung up while a command ran."""


class DeadChannel(Gone):
    """The channel is dead (511)."""


class ConnectionLost(Gone, pyst2.AGISIGPIPEHangup):  # type: ignore[misc]
    """The connection from Asterisk has ended."""


class Garbled(Gone):
    """What came is not AGI, so that the session had to be given up."""
