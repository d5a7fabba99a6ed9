"""Where a worker listens: the address of all, and one of its own."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ivr import listening
from ivr.settings import Settings, settings_from

HERE = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that a stranger has."""
    with socket.create_server((HERE, 0)) as stranger:
        yield int(stranger.getsockname()[1])


@pytest.mark.parametrize("beside", [False, True])
def test_a_strangers_port_is_in_use_in_a_sentence(taken: int, beside: bool) -> None:
    with pytest.raises(OSError, match=rf"^{HERE}:{taken} is in use: .* --agi "):
        listening.public(HERE, taken, beside=beside)


def test_a_port_is_shared_only_by_who_says_so() -> None:
    with closing(listening.public(HERE, 0)) as first:
        port = first.getsockname()[1]
        first.listen()
        with pytest.raises(OSError, match="is in use"):
            listening.public(HERE, port)
        with closing(listening.public(HERE, port, beside=True)) as second:
            second.listen()
            assert second.getsockname() == first.getsockname()
    with closing(listening.public(HERE, port)):
        """Whoever has left has let it go."""


def test_the_first_free_one_of_some_ports_is_our_own(taken: int) -> None:
    for ports in ([taken, 0], [0]):
        with closing(listening.own(HERE, ports)) as own:
            assert own.getsockname()[1] not in (0, taken)
    with pytest.raises(OSError, match=f"none of the ports {taken}-{taken} of {HERE} is free"):
        listening.own(HERE, [taken])


def test_where_asterisk_reaches_a_worker_is_told_or_nothing_is() -> None:
    with closing(listening.own(HERE)) as own:
        port = own.getsockname()[1]
        assert listening.told(own, None) == f"{HERE}:{port}"
    with closing(listening.own("0.0.0.0")) as own:
        port = own.getsockname()[1]
        assert listening.told(own, None) == ""
        assert listening.told(own, (HERE, 5038)) == f"{HERE}:{port}"


def test_an_address_of_version_six_is_told_in_brackets() -> None:
    try:
        own = listening.own("::1")
    except OSError:
        pytest.skip("there is no IPv6 here")
    with closing(own):
        assert re.fullmatch(r"\[::1\]:\d+", listening.told(own, None))


@pytest.mark.parametrize(
    ("text", "ports"), [("", [0]), ("4574", [4574]), ("4574-4576", [4574, 4575, 4576])]
)
def test_own_ports_are_one_or_first_to_last(text: str, ports: list[int]) -> None:
    assert list(settings(text).own_ports) == ports


@pytest.mark.parametrize("text", ["0", "x", "4574-", "-4574", "4576-4574", "1-65536", "1-2-3"])
def test_what_are_no_ports_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=f"SANSHENG_OWN_PORTS are no ports: '{text}'"):
        settings(text)


def settings(ports: str) -> Settings:
    where = {"SANSHENG_OWN_PORTS": ports}
    return settings_from(Path("/"), "sqlite://", f"{HERE}:4573", "none", 1, where)
