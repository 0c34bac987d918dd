"""The listening socket of a portal: taken, watched, and taken again.

An address that this machine does not have (an interface that is not up yet, an
IPv6 address that is still being checked for duplicates) is no reason not to
start: the portal is reported as waiting and tried again until the address is
there.  An address that goes away later is noticed and treated the same.

IP_FREEBIND would spare the trying, but then nobody could tell a portal that
works from one that is mistyped.
"""

import asyncio
import errno
import itertools
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from twinlock.server.portal import Portal

BACKLOG = 128
RETRY_SECONDS = (0.5, 0.5, 1.0, 2.0, 3.0)
"""Between attempts to take an address; the last one repeats."""
WATCH_SECONDS = 2.0
"""Between looks at whether the address is still there."""
ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENETDOWN})
"""What the kernel says of an address or interface that is not there (yet)."""

log = logging.getLogger(__name__)


class PortalSocket:
    """One portal; ``reason`` says why it does not listen, if so."""

    def __init__(self, portal: Portal) -> None:
        self.portal = portal
        self.reason: str | None = None
        self.is_refused = False
        """True if the last attempt failed by more than an address that is not there."""
        self._socket: socket.socket | None = None

    @property
    def is_listening(self) -> bool:
        """True while initiators can connect."""
        return self._socket is not None

    def take(self) -> bool:
        """Try once to listen."""
        try:
            self._socket = listen(self.portal)
        except OSError as error:
            self._note(explain(error, self.portal), refused=not is_absent(error))
            return False
        self.portal = Portal(self.portal.host, self._socket.getsockname()[1])
        self.reason, self.is_refused = None, False
        return True

    def close(self) -> None:
        """Stop listening."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    async def serve(self, accept: Callable[[socket.socket], Awaitable[None]]) -> None:
        """Listen for ever, whatever becomes of the address; ``accept`` is run on each socket it takes."""
        while True:
            sock = await self._taken()
            accepting = asyncio.ensure_future(accept(sock))
            try:
                while is_there(self.portal, sock):
                    await asyncio.sleep(WATCH_SECONDS)
            finally:
                accepting.cancel()
                self.close()
            self._note("its address has gone", refused=False)

    async def _taken(self) -> socket.socket:
        for seconds in itertools.chain(RETRY_SECONDS, itertools.repeat(RETRY_SECONDS[-1])):
            if self._socket is None and self.take():
                log.warning("portal %s: listening again", self.portal)
            if self._socket is not None:
                return self._socket
            await asyncio.sleep(seconds)
        raise AssertionError("it is tried for ever")

    def _note(self, reason: str, *, refused: bool) -> None:
        """Log what is new: it is tried many times."""
        if reason != self.reason:
            log.warning("portal %s does not listen: %s; it is tried again", self.portal, reason)
        self.reason, self.is_refused = reason, refused


def listen(portal: Portal) -> socket.socket:
    """A listening socket; raises OSError."""
    family, address = _resolve(portal)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(portal.host != "::"))
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def is_there(portal: Portal, sock: socket.socket) -> bool:
    """Whether this machine has the address on which ``sock`` listens; in doubt it has."""
    if portal.is_wildcard:
        return True
    try:
        family, address = _resolve(portal)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address[0], 0, *address[2:]))
        # An interface that was made anew has another number.
        return bool(sock.getsockname()[3:] == address[3:])
    except OSError as error:
        return not is_absent(error)


def is_absent(error: OSError) -> bool:
    """True if the address may yet come; False if something else is in the way."""
    return isinstance(error, socket.gaierror) or error.errno in ABSENT


def explain(error: OSError, portal: Portal) -> str:
    """What is wrong, for people."""
    if isinstance(error, socket.gaierror) or error.errno == errno.ENODEV:
        return f"there is no interface {portal.scope}"
    if error.errno in ABSENT:
        return "this machine does not have the address"
    return os.strerror(error.errno or 0).lower()


def _resolve(portal: Portal) -> tuple[int, Any]:
    host = portal.host
    if host == "::" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"
    flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
    found = socket.getaddrinfo(host, portal.port, type=socket.SOCK_STREAM, flags=flags)[0]
    return found[0], found[4]
