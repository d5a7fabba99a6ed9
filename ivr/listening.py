"""Where one worker listens: at the address of the service, and at one of its own.

A new call comes in by the public address, which is in the dialplan: whoever listens there may take
it, and several workers may (`SO_REUSEPORT`). All later sessions of a call (the note to an agent,
a code in a conversation) belong to the worker that has it, and come to that worker's own address.

Rules this module keeps:

- Who shares an address says so. Anybody else finds a port in use before anything is touched, also
  while the first has it and does not listen yet.
- An own address is one that Asterisk can reach, or none is told.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence

ANYWHERE = frozenset({"0.0.0.0", "::", ""})
"""Hosts that are no address which somebody could ring."""
ANY_PORT = (0,)
"""Whichever port is free."""
TAKEN = (
    "{host}:{port} is in use: stop what uses it, or choose another port with --agi (a service that "
    "was told to stop has let its port go; one that still takes calls shares it only with services "
    "of the same SANSHENG_CONTROL, database and SANSHENG_SYSTEM)"
)
NONE_FREE = "none of the ports {ports} of {host} is free: give SANSHENG_OWN_PORTS more of them"


def public(host: str, port: int, *, beside: bool = False) -> socket.socket:
    """A socket that has the service's address, and does not listen yet. `beside`: others of ours
    may have it, too. Raises OSError, with a sentence if it is taken."""
    with _in_a_sentence(host, port):
        if port and not beside:  # one that shares its port is in nobody's way but ours: ask
            _bound(host, port, shared=False).close()
        return _bound(host, port, shared=True)


def claim(host: str, port: int) -> socket.socket:
    """Held from before `public` until we listen there, by one who does not share: until then a
    port that can be shared seems free to all. A name in Linux's abstract namespace, as wide as the
    ports are, which ends with the process. Raises OSError, with a sentence if another holds it."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        with _in_a_sentence(host, port):
            held.bind(f"\0sansheng-agi-{port}")
    except OSError:
        held.close()
        raise
    return held


@contextlib.contextmanager
def _in_a_sentence(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(TAKEN.format(host=host, port=port)) from error
        raise


def own(host: str, ports: Sequence[int] = ANY_PORT) -> socket.socket:
    """A socket that has the first of these ports which nobody has. Raises OSError, with a sentence
    if there is none."""
    for port in ports:
        try:
            return _bound(host, port, shared=False)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(NONE_FREE.format(ports=f"{ports[0]}-{ports[-1]}", host=host))


def told(listener: socket.socket, asterisk: tuple[str, int] | None) -> str:
    """How Asterisk reaches this socket, HOST:PORT; "" if nobody can say. Where it listens at every
    address, it is the one from which `asterisk` (HOST, PORT) is reached. Raises OSError."""
    host, port = listener.getsockname()[:2]
    if host in ANYWHERE:
        if asterisk is None:
            return ""
        with socket.socket(listener.family, socket.SOCK_DGRAM) as probe:
            probe.connect(asterisk)  # nothing is sent
            host = probe.getsockname()[0]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
