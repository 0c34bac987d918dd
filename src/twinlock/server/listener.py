"""The portals: accepts connections, answers discovery, finds the worker for a login.

Nobody has proved anything yet when a connection arrives here, so everything is
bounded: the bytes of the first request, the time to send it, and how many
connections may be in this state, in all and from one place; the newest always gets in.
A login for a volume leaves this process with its socket; only discovery sessions live here.
"""

import asyncio
import logging
import socket
import time
from collections.abc import Sequence
from typing import Protocol

from twinlock.errors import PortalUnavailable, ProtocolError
from twinlock.iscsi.chap import ChapPolicy
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.login import FirstRequest, first_request, refuse
from twinlock.iscsi.session import SessionType
from twinlock.server.discovery import discover
from twinlock.server.lobby import Lobby
from twinlock.server.portal import Portal
from twinlock.server.portal_socket import PortalSocket
from twinlock.server.throttle import Throttle
from twinlock.units import one_line
from twinlock.wire.iscsi_codes import LoginStatus

GREETING_SECONDS = 15.0
"""For the first login request to arrive whole."""
GREETING_BYTES = 32 * 1024
"""After which no more is read if they are no first login request, which is at most some 9 KiB long."""
HAND_OVER_SECONDS = 5.0
"""For a worker to take a connection; one that hangs must not keep others waiting here."""
MAX_GREETING = 64
"""Connections that have not yet said what they want, or are discovery sessions."""
MAX_GREETING_PER_SOURCE = 16
"""Of these, from one address (of IPv6: from one /64, for whoever has one address there has them all)."""
RECEIVE = 16 * 1024

log = logging.getLogger(__name__)


class _Caller:
    """A connection while it is greeted, as the lobby sees it."""

    def __init__(self, task: asyncio.Task[None], source: str) -> None:
        self.source = source
        self.is_stranger = True
        self._task = task

    def abort(self) -> None:
        """Close the connection."""
        self.is_stranger = False
        self._task.cancel()


class Router(Protocol):
    """What the listener asks the supervisor."""

    @property
    def discovery_authentication(self) -> ChapPolicy | None:
        """How those who ask for targets have to prove who they are; None if they need not."""

    def directory(self, reached: Portal, host: str) -> TargetDirectory:
        """The targets to answer discovery with, for a peer at ``host`` that came in by ``reached``."""

    async def route(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: Portal, reached: Portal
    ) -> LoginStatus | None:
        """Hand over a login of ``peer`` that came in by ``reached``.

        None if that worked, else the login status to refuse with (RFC 7143 section 11.13.5).
        """


class Listener:
    """All portals of one supervisor."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._serving: list[asyncio.Task[None]] = []
        self._callers: Lobby[_Caller] = Lobby(MAX_GREETING, MAX_GREETING_PER_SOURCE)
        self.sockets: list[PortalSocket] = []
        self.throttle = Throttle(time.time)
        """What is remembered of wrong secrets in discovery."""

    @property
    def portals(self) -> list[Portal]:
        """The portals that listen now."""
        return [taken.portal for taken in self.sockets if taken.is_listening]

    def bind(self, portals: Sequence[Portal]) -> None:
        """Take the addresses; those that are missing are tried again once started.

        Raises PortalUnavailable if none is left that listens, or might with a little patience.
        """
        self.sockets = [PortalSocket(portal) for portal in portals]
        for wanted in self.sockets:
            wanted.take()
        if all(wanted.is_refused for wanted in self.sockets):
            self.close()
            first = self.sockets[0]
            raise PortalUnavailable(portal=first.portal, reason=first.reason)

    def start(self) -> None:
        """Accept from now on."""
        self._serving = [asyncio.create_task(taken.serve(self._accept)) for taken in self.sockets]

    def close(self) -> None:
        """Stop accepting, free the addresses, end discovery sessions."""
        for task in self._serving:
            task.cancel()
        for caller in self._callers.all():
            caller.abort()
        for taken in self.sockets:
            taken.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("cannot accept a connection: %s", error)
                await asyncio.sleep(1)  # out of file descriptors: they come back as connections end
                continue
            client.setblocking(False)
            self._receive(client, _portal(address))

    def _receive(self, client: socket.socket, peer: Portal) -> None:
        task = asyncio.create_task(self._greet(client, peer))
        caller = _Caller(task, self.throttle.source(peer.host))

        def over(_task: asyncio.Task[None]) -> None:
            client.close()  # here, for what is cancelled at once never begins
            self._callers.leave(caller)

        task.add_done_callback(over)
        self._callers.enter(caller)

    async def _greet(self, client: socket.socket, peer: Portal) -> None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                request, first = await _first_request(client)
            if request.session_type is SessionType.DISCOVERY:
                await self._discover(client, first, peer)
            else:
                await self._hand_over(request, client, first, peer)
        except (OSError, ProtocolError, EOFError, TimeoutError) as error:
            log.info("connection of %s closed: %s", peer, error or "it took too long")
        except Exception:
            log.exception("connection of %s met a bug", peer)

    async def _discover(self, client: socket.socket, first: bytes, peer: Portal) -> None:
        reached = _portal(client.getsockname())
        await discover(
            client,
            peer.host,
            first,
            self._router.directory(reached, peer.host),
            self._router.discovery_authentication,
            self.throttle,
        )

    async def _hand_over(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: Portal
    ) -> None:
        async with asyncio.timeout(HAND_OVER_SECONDS):
            reached = _portal(client.getsockname())
            status = await self._router.route(request, client, first, peer, reached)
            if status is not None:
                named = one_line(str(request.target_name))
                log.info("login of %s to %s refused (0x%04x)", peer, named, status)
                await asyncio.get_running_loop().sock_sendall(client, refuse(request, status))


async def _first_request(client: socket.socket) -> tuple[FirstRequest, bytes]:
    """The first login request and all bytes read for it; raises EOFError if the client goes before."""
    loop = asyncio.get_running_loop()
    first = b""
    while len(first) < GREETING_BYTES:
        data = await loop.sock_recv(client, RECEIVE)
        if not data:
            raise EOFError("the client went away during login")
        first += data
        request = first_request(first)
        if request is not None:
            return request, first
    raise ProtocolError("a first login request that does not end")


def _portal(address: tuple[str, int]) -> Portal:
    """An address as the kernel tells it; one of IPv4 as such, whatever the socket."""
    return Portal(address[0].removeprefix("::ffff:"), address[1])
