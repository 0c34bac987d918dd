"""Strangers at the portals: every bound on them, over real sockets."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.support.initiator import Credentials, Initiator, keys_of
from twinlock.errors import PortalUnavailable
from twinlock.iscsi.chap import ChapPolicy, Secret
from twinlock.iscsi.login import FirstRequest
from twinlock.server import discovery, listener, portal_socket, throttle
from twinlock.server.access import AllowList
from twinlock.server.discovery import VisibleTargets
from twinlock.server.listener import Listener
from twinlock.server.portal import Portal
from twinlock.server.throttle import source_of
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_responses import TextResponse

LOOPBACK = Portal("127.0.0.1", 0)
NAME = "iqn.2026-11.io.twinlock:backup"
POLICY = ChapPolicy("asker", Secret("a long secret 1"), "twinlock", Secret("another secret 2"))


class Router:
    """A supervisor with one target, whose worker is away."""

    def __init__(self) -> None:
        self.discovery_authentication: ChapPolicy | None = None
        self.routed: list[Portal] = []

    def directory(self, reached: Portal, host: str) -> VisibleTargets:
        return VisibleTargets([(NAME, AllowList.of((), ()))], host, [f"{reached},1"])

    async def route(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: Portal, reached: Portal
    ) -> LoginStatus | None:
        self.routed.append(peer)
        return LoginStatus.SERVICE_UNAVAILABLE


Scene = Callable[["Portals"], Any]


class Portals:
    """A started listener on one portal, and clients of it."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.router = Router()
        self.listener = Listener(self.router)
        self.listener.bind([Portal(host, 0)])
        self.port = self.listener.portals[0].port

    async def connect(self, host: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(host, self.port)

    async def end_of(self, reader: asyncio.StreamReader) -> bytes:
        """All that comes until the listener closes; a reset counts as a close."""
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(10):
                return await reader.read()
        return b""

    async def ask(self, credentials: Credentials | None = None) -> Initiator:
        """Log in for discovery and ask for all targets."""
        initiator = Initiator(None, credentials=credentials)
        reader, writer = await self.connect()
        initiator.login()
        while initiator.login_status is None:
            await _pump(initiator, reader, writer)
        if initiator.logged_in:
            initiator.text({"SendTargets": "All"})
            while not isinstance(initiator.replies[-1].header, TextResponse):
                await _pump(initiator, reader, writer)
        writer.close()
        return initiator


async def _pump(initiator: Initiator, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(initiator.take_output())
    async with asyncio.timeout(10):
        data = await reader.read(1 << 16)
    assert data, "the listener closed the connection"
    initiator.receive(data)


@contextlib.asynccontextmanager
async def opened(host: str = "127.0.0.1") -> AsyncIterator[Portals]:
    portals = Portals(host)
    portals.listener.start()
    try:
        yield portals
    finally:
        portals.listener.close()


def play(scene: Scene, host: str = "127.0.0.1") -> None:
    async def run() -> None:
        async with opened(host) as portals:
            await scene(portals)

    asyncio.run(run())


def first_request(**keys: str) -> bytes:
    initiator = Initiator(NAME)
    initiator.login_request({"InitiatorName": "iqn.2026-11.example:pc", **keys}, transit=False)
    return initiator.take_output()


def test_a_login_for_a_volume_is_routed_with_where_it_comes_from() -> None:
    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        writer.write(first_request(TargetName=NAME))
        answer = await portals.end_of(reader)
        assert answer[36:38] == (LoginStatus.SERVICE_UNAVAILABLE).to_bytes(2, "big")
        assert [peer.host for peer in portals.router.routed] == ["127.0.0.1"]
        writer.close()

    play(scene)
    play(scene, "::")  # an IPv4 address is told as such, whatever the socket


def test_a_strangers_words_forge_no_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        writer.write(first_request(TargetName=NAME + "\n2026-11-23 INFO forged"))
        await portals.end_of(reader)
        writer.close()

    with caplog.at_level(logging.INFO):
        play(scene)
    assert "forged" in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_time_for_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "GREETING_SECONDS", 0.2)

    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        writer.write(first_request(TargetName=NAME)[:20])
        assert await portals.end_of(reader) == b""
        assert portals.router.routed == []
        writer.close()

    play(scene)


def test_bytes_of_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "GREETING_BYTES", 100)

    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        writer.write(first_request(TargetName=NAME, X="x" * 200)[:150])
        assert await portals.end_of(reader) == b"", "the rest is not waited for"
        assert portals.router.routed == []
        writer.close()

    play(scene)


def test_a_first_request_that_says_it_is_long_is_not_waited_for() -> None:
    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        header = bytearray(first_request(TargetName=NAME)[:48])
        header[5:8] = (1 << 20).to_bytes(3, "big")
        writer.write(bytes(header))
        assert await portals.end_of(reader) == b""
        writer.close()

    play(scene)


async def _is_held(reader: asyncio.StreamReader) -> bool:
    """Whether the listener keeps a connection of somebody who says nothing."""
    try:
        async with asyncio.timeout(0.3):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


@pytest.mark.parametrize("limit", ["MAX_GREETING", "MAX_GREETING_PER_SOURCE"])
def test_connections_in_all_and_from_one_address(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(listener, limit, 3)

    async def scene(portals: Portals) -> None:
        strangers = [await portals.connect() for _ in range(5)]
        held = await asyncio.gather(*(_is_held(reader) for reader, _ in strangers))
        assert held == [False, False, True, True, True]
        assert (await portals.ask()).logged_in, "who says nothing keeps nobody out"
        for _, writer in strangers:
            writer.close()

    play(scene)


def test_an_ipv6_machine_has_many_addresses_and_counts_as_one() -> None:
    assert source_of("2001:db8::1") == source_of("2001:db8::2:3:4:5") != source_of("2001:db8:0:1::1")


def test_time_of_a_discovery_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DISCOVERY_SECONDS", 0.2)

    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        writer.write(first_request(SessionType="Discovery"))
        assert (await portals.end_of(reader))[:1] == b"\x23", "a login response, and then the end"
        writer.close()

    play(scene)


def test_bytes_of_a_discovery_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DISCOVERY_BYTES", 4096)

    async def scene(portals: Portals) -> None:
        reader, writer = await portals.connect()
        initiator = Initiator(None)
        initiator.login()
        while not initiator.logged_in:
            await _pump(initiator, reader, writer)
        for _ in range(10):
            initiator.nop(bytes(1024))
        writer.write(initiator.take_output())
        answers = await portals.end_of(reader)
        assert len(answers) < 8 * 1072, "the end comes before the last answer"
        writer.close()

    play(scene)


def test_an_open_discovery_tells_the_targets() -> None:
    async def scene(portals: Portals) -> None:
        told = keys_of((await portals.ask()).replies[-1].data)
        assert told == {"TargetName": NAME, "TargetAddress": f"127.0.0.1:{portals.port},1"}

    play(scene)


def test_discovery_with_chap_tells_only_who_knows_the_secret() -> None:
    async def scene(portals: Portals) -> None:
        portals.router.discovery_authentication = POLICY
        refused = await portals.ask()
        assert refused.login_status == LoginStatus.AUTHENTICATION_FAILURE
        right = Credentials("asker", b"a long secret 1", "twinlock", b"another secret 2")
        known = await portals.ask(right)
        assert known.logged_in
        assert known.target_proved_itself
        assert keys_of(known.replies[-1].data)["TargetName"] == NAME

    play(scene)


def test_wrong_secrets_of_discovery_are_counted_and_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "FIRST_DELAY", 0.05)

    async def scene(portals: Portals) -> None:
        portals.router.discovery_authentication = POLICY
        waits: list[float] = []
        real = asyncio.sleep

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            await real(seconds)

        monkeypatch.setattr(asyncio, "sleep", sleep)
        for _ in range(3):
            refused = await portals.ask(Credentials("asker", b"a wrong secret 1"))
            assert refused.login_status == LoginStatus.AUTHENTICATION_FAILURE
        assert [each.count for each in portals.listener.throttle.counts()] == [3]
        attempts = [seconds for seconds in waits if seconds < portal_socket.WATCH_SECONDS]
        assert max(attempts) > 0.05, "the third attempt waits longer than the second"
        assert (await portals.ask(Credentials("asker", b"a long secret 1"))).logged_in
        assert portals.listener.throttle.counts() == ()

    play(scene)


MISSING = Portal("192.0.2.77", 3260)
"""From a network that is kept for documentation: no machine has it."""


def test_a_missing_address_does_not_keep_the_others_from_serving() -> None:
    one = Listener(Router())
    one.bind([MISSING, LOOPBACK])
    try:
        assert [taken.is_listening for taken in one.sockets] == [False, True]
        assert [portal.host for portal in one.portals] == ["127.0.0.1"]
    finally:
        one.close()


def test_only_missing_addresses_are_waited_for() -> None:
    one = Listener(Router())
    one.bind([MISSING])
    assert one.portals == []
    assert one.sockets[0].reason == "this machine does not have the address"


def test_nothing_but_refusals_is_an_error() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        occupied = Portal("127.0.0.1", holder.getsockname()[1])
        with pytest.raises(PortalUnavailable) as caught:
            Listener(Router()).bind([occupied])
        assert "in use" in str(caught.value)
        one = Listener(Router())
        one.bind([occupied, LOOPBACK])
        one.close()


def test_out_of_file_descriptors_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """``accept`` fails once; whoever connects next is served."""

    async def scene(portals: Portals) -> None:
        loop = asyncio.get_running_loop()
        real, failures = loop.sock_accept, [OSError(24, "too many open files")]

        async def sock_accept(sock: socket.socket) -> Any:
            if failures:
                raise failures.pop()
            return await real(sock)

        monkeypatch.setattr(loop, "sock_accept", sock_accept)
        assert (await portals.ask()).logged_in

    play(scene)


def test_a_listening_backlog_is_named() -> None:
    assert portal_socket.BACKLOG >= listener.MAX_GREETING
