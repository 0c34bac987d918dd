"""Discovery sessions: which targets there are, and by which portals they are reached.

They live in the supervisor.  Whoever asks may be anybody, so a session is bounded in
time and bytes, and sees only the volumes whose lists let it in.
"""

import asyncio
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence

from twinlock.errors import ProtocolError
from twinlock.iscsi.chap import ChapPolicy
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.directory import TargetDirectory, TargetEntry
from twinlock.iscsi.events import Event, LoggedIn, LoggedOut, ProtocolFailure
from twinlock.iscsi.session import SessionType
from twinlock.server.access import AllowList
from twinlock.server.portal import Portal
from twinlock.server.throttle import Throttle
from twinlock.wire.iscsi_codes import LoginStatus

PORTAL_GROUP = 1
"""All portals are one group: any of them leads to the same volume (RFC 7143 section 4.3.1)."""
DISCOVERY_SECONDS = 60.0
"""Longest discovery session."""
DISCOVERY_BYTES = 256 * 1024
"""Most that a discovery session may send; a login and some questions take a few thousand."""
RECEIVE = 16 * 1024


class VisibleTargets:
    """The targets that an initiator at ``host`` may see, with ``addresses`` for each."""

    def __init__(self, targets: Iterable[tuple[str, AllowList]], host: str, addresses: Sequence[str]) -> None:
        self._targets = list(targets)
        self._host = host
        self._addresses = list(addresses)

    def find(self, _target_name: str, /) -> TargetEntry | None:
        """Normal sessions are the workers'."""
        return None

    def visible(self, initiator_name: str, /) -> list[tuple[str, list[str]]]:
        """Every target that the initiator would be let in to, if it can prove who it is."""
        return [
            (name, self._addresses)
            for name, allowed in self._targets
            if allowed.permits_name(initiator_name) and allowed.permits_address(self._host)
        ]


def target_addresses(portals: Iterable[Portal], reached: Portal) -> list[str]:
    """TargetAddress of each portal as an initiator that came in by ``reached`` can use it, that one first.

    A wildcard stands for the address the initiator came by.  What another machine cannot use is left out:
    loopback addresses and those of another link.
    """
    usable = [reached.unscoped, *(found for portal in portals if (found := _usable(portal, reached)))]
    return [f"{portal},{PORTAL_GROUP}" for portal in dict.fromkeys(usable)]


def _usable(portal: Portal, reached: Portal) -> Portal | None:
    if portal.is_wildcard:
        return Portal(reached.unscoped.host, portal.port) if portal.covers(reached) else None
    if portal.is_loopback and not reached.is_loopback:
        return None
    if portal.scope and portal.host != reached.host:
        return None
    return portal.unscoped


async def discover(
    client: socket.socket,
    host: str,
    first: bytes,
    directory: TargetDirectory,
    authentication: ChapPolicy | None,
    throttle: Throttle,
) -> None:
    """Serve one session of a peer at ``host``, of which ``first`` has been read.

    Raises ProtocolError, TimeoutError, OSError.
    """
    connection = TargetConnection(
        directory,
        random_bytes=secrets.token_bytes,
        tsih=1,
        discovery_authentication=authentication,
        session_types=[SessionType.DISCOVERY],
    )
    async with asyncio.timeout(DISCOVERY_SECONDS):
        if authentication is not None:
            await _turn(throttle, host)
        await _serve(client, connection, first, lambda event: _judge(event, throttle, host))


async def _turn(throttle: Throttle, host: str) -> None:
    while wait := throttle.delay(host):
        await asyncio.sleep(wait)


def _judge(event: Event, throttle: Throttle, host: str) -> None:
    """Remember who did not know the secret, and who did."""
    if isinstance(event, LoggedIn):
        if event.session.user is not None:
            throttle.succeeded(host)
    elif isinstance(event, ProtocolFailure) and event.status is LoginStatus.AUTHENTICATION_FAILURE:
        throttle.failed(host)


async def _serve(
    client: socket.socket, connection: TargetConnection, first: bytes, judge: Callable[[Event], None]
) -> None:
    loop = asyncio.get_running_loop()
    data, received = first, len(first)
    while data:
        events = connection.receive(data)
        for event in events:
            judge(event)
        await loop.sock_sendall(client, b"".join(connection.take_output()))
        if any(isinstance(event, LoggedOut | ProtocolFailure) for event in events):
            return
        data = await loop.sock_recv(client, RECEIVE)
        received += len(data)
        if received > DISCOVERY_BYTES:
            raise ProtocolError("a discovery session that does not end")
