"""The portals: accepts connections, answers discovery, finds the worker for a login.

Nobody has proved anything yet when a connection arrives here, so everything is
bounded: the bytes of the first request, the time to send it, and how many
connections may be in this state.  A login for a volume leaves this process with
its socket; only discovery sessions live here.
"""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Sequence
from typing import Protocol

from twinlock.errors import PortalUnavailable, ProtocolError
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.events import LoggedOut, ProtocolFailure
from twinlock.iscsi.login import FirstRequest, first_request, refuse
from twinlock.iscsi.session import SessionType
from twinlock.server.portal import Portal
from twinlock.wire.iscsi_codes import LoginStatus

GREETING_SECONDS = 15.0
"""For the first login request to arrive whole."""
DISCOVERY_SECONDS = 60.0
"""Longest discovery session."""
HAND_OVER_SECONDS = 5.0
"""For a worker to take a connection; one that hangs must not keep others waiting here."""
MAX_GREETING = 64
"""Connections that have not yet said what they want, or are discovery sessions."""
MAX_GREETING_PER_ADDRESS = 16
BACKLOG = 128
RECEIVE = 16 * 1024


log = logging.getLogger(__name__)


class Router(Protocol):
    """What the listener asks the supervisor."""

    def directory(self, portal: str) -> TargetDirectory:
        """The targets to answer discovery with, as reached through ``portal``."""

    async def route(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: str
    ) -> LoginStatus | None:
        """Hand a login over; None if that worked, else the login status to refuse with (RFC 7143 11.13.5)."""


class Listener:
    """All portals of one supervisor."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._greeting: dict[asyncio.Task[None], str] = {}
        self.portals: list[Portal] = []

    def bind(self, portals: Sequence[Portal]) -> None:
        """Take the addresses, all or none; raises PortalUnavailable."""
        try:
            for portal in portals:
                sock = _listen(portal)
                self._sockets.append(sock)
                self.portals.append(Portal(portal.host, sock.getsockname()[1]))
        except OSError as error:
            self.close()
            raise PortalUnavailable(portal=portal, reason=os.strerror(error.errno or 0).lower()) from error

    def start(self) -> None:
        """Accept from now on."""
        self._accepting = [asyncio.create_task(self._accept(sock)) for sock in self._sockets]

    def close(self) -> None:
        """Stop accepting, free the addresses, end discovery sessions."""
        for task in [*self._accepting, *self._greeting]:
            task.cancel()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listening)
            except OSError as error:
                log.warning("cannot accept a connection: %s", error)
                await asyncio.sleep(1)  # out of file descriptors: they come back as connections end
                continue
            host = address[0]
            if not self._has_room(host):
                client.close()
                continue
            client.setblocking(False)
            task = asyncio.create_task(self._greet(client, _peer(address)))
            self._greeting[task] = host
            task.add_done_callback(self._greeting.pop)

    def _has_room(self, host: str) -> bool:
        same = sum(known == host for known in self._greeting.values())
        return len(self._greeting) < MAX_GREETING and same < MAX_GREETING_PER_ADDRESS

    async def _greet(self, client: socket.socket, peer: str) -> None:
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                request, first = await _first_request(client)
            if request.session_type is SessionType.DISCOVERY:
                async with asyncio.timeout(DISCOVERY_SECONDS):
                    await self._discover(client, first)
            else:
                await self._hand_over(request, client, first, peer)
        except (OSError, ProtocolError, EOFError, TimeoutError) as error:
            log.info("connection of %s closed: %s", peer, error or "it took too long")
        except Exception:
            log.exception("connection of %s met a bug", peer)
        finally:
            client.close()

    async def _hand_over(self, request: FirstRequest, client: socket.socket, first: bytes, peer: str) -> None:
        async with asyncio.timeout(HAND_OVER_SECONDS):
            status = await self._router.route(request, client, first, peer)
        if status is not None:
            log.info("login of %s to %s refused (0x%04x)", peer, request.target_name, status)
            await asyncio.get_running_loop().sock_sendall(client, refuse(request, status))

    async def _discover(self, client: socket.socket, first: bytes) -> None:
        loop = asyncio.get_running_loop()
        directory = self._router.directory(_local(client))
        connection = TargetConnection(
            directory, random_bytes=secrets.token_bytes, tsih=1, session_types=[SessionType.DISCOVERY]
        )
        data = first
        while data:
            events = connection.receive(data)
            for buffer in connection.take_output():
                await loop.sock_sendall(client, buffer)
            if any(isinstance(event, LoggedOut | ProtocolFailure) for event in events):
                return
            data = await loop.sock_recv(client, RECEIVE)


async def _first_request(client: socket.socket) -> tuple[FirstRequest, bytes]:
    """The first login request and all bytes read for it; raises EOFError if the client goes before."""
    loop = asyncio.get_running_loop()
    first = b""
    while True:
        data = await loop.sock_recv(client, RECEIVE)
        if not data:
            raise EOFError("the client went away during login")
        first += data
        request = first_request(first)
        if request is not None:
            return request, first


def _listen(portal: Portal) -> socket.socket:
    host = portal.host
    if host == "::" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"
    flags = socket.AI_NUMERICHOST | socket.AI_PASSIVE
    family, _, _, _, address = socket.getaddrinfo(host, portal.port, type=socket.SOCK_STREAM, flags=flags)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _peer(address: tuple[str, int]) -> str:
    host = address[0].removeprefix("::ffff:").partition("%")[0]
    return str(Portal(host, address[1]))


def _local(client: socket.socket) -> str:
    return _peer(client.getsockname()[:2])
