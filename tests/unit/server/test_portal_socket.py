"""A portal is taken, watched, and taken again."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from twinlock.server import portal_socket
from twinlock.server.portal import Portal
from twinlock.server.portal_socket import PortalSocket, explain, is_absent

LOOPBACK = Portal("127.0.0.1", 0)
ELSEWHERE = Portal("192.0.2.77", 3260)
"""From a network that is kept for documentation: no machine has it."""


class Machine:
    """Decides whether the address is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = errno.EADDRNOTAVAIL
        self.attempts = 0
        real = portal_socket.listen

        def listen(portal: Portal) -> socket.socket:
            self.attempts += 1
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            return real(portal)

        monkeypatch.setattr(portal_socket, "listen", listen)
        monkeypatch.setattr(portal_socket, "is_there", lambda _portal, _sock: self.error is None)
        monkeypatch.setattr(portal_socket, "RETRY_SECONDS", (0.001,))
        monkeypatch.setattr(portal_socket, "WATCH_SECONDS", 0.001)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def accept_for_ever(_sock: socket.socket) -> None:
    await asyncio.Event().wait()


def test_an_address_that_comes_late_is_taken_then(machine: Machine) -> None:
    async def late() -> None:
        taken = PortalSocket(LOOPBACK)
        assert not taken.take()
        assert (taken.is_listening, taken.is_refused) == (False, False)
        assert taken.reason == "this machine does not have the address"
        serving = asyncio.create_task(taken.serve(accept_for_ever))
        await until(lambda: machine.attempts > 3)
        assert not taken.is_listening
        machine.error = None
        await until(lambda: taken.is_listening)
        assert taken.reason is None
        with socket.create_connection(("127.0.0.1", taken.portal.port), timeout=5):
            pass
        serving.cancel()
        taken.close()

    asyncio.run(late())


def test_an_address_that_goes_and_returns_keeps_its_port(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    async def flap() -> None:
        machine.error = None
        taken = PortalSocket(LOOPBACK)
        assert taken.take()
        port = taken.portal.port
        serving = asyncio.create_task(taken.serve(accept_for_ever))
        for _ in range(2):
            machine.error = errno.EADDRNOTAVAIL
            await until(lambda: not taken.is_listening and taken.reason)
            machine.error = None
            await until(lambda: taken.is_listening)
        assert taken.portal.port == port
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        serving.cancel()
        taken.close()

    asyncio.run(flap())
    said = [record.getMessage() for record in caplog.records]
    assert sum("listening again" in line for line in said) == 2
    assert sum("its address has gone" in line for line in said) == 2


@pytest.fixture
def occupied() -> Iterator[Portal]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield Portal("127.0.0.1", holder.getsockname()[1])


def test_a_port_that_another_program_has_is_a_refusal(occupied: Portal) -> None:
    taken = PortalSocket(occupied)
    assert not taken.take()
    assert taken.is_refused
    assert taken.reason == "address already in use"


@pytest.mark.parametrize(
    ("portal", "words"),
    [
        (ELSEWHERE, "this machine does not have the address"),
        (Portal("2001:db8::77", 3260), "this machine does not have the address"),
        (Portal("fe80::1%nothing7", 3260), "there is no interface nothing7"),
    ],
)
def test_what_the_kernel_really_says_of_an_address_that_is_missing(portal: Portal, words: str) -> None:
    taken = PortalSocket(portal)
    assert not taken.take()
    assert not taken.is_refused
    assert taken.reason == words


def test_a_real_address_is_there_and_another_is_not() -> None:
    with portal_socket.listen(LOOPBACK) as sock:
        assert portal_socket.is_there(LOOPBACK, sock)
        assert not portal_socket.is_there(ELSEWHERE, sock)


@pytest.mark.parametrize(
    ("number", "absent"),
    [
        (errno.EADDRNOTAVAIL, True),
        (errno.ENODEV, True),
        (errno.EADDRINUSE, False),
        (errno.EACCES, False),
        (errno.EMFILE, False),
    ],
)
def test_what_may_come_by_itself(number: int, absent: bool) -> None:
    error = OSError(number, os.strerror(number))
    assert is_absent(error) is absent
    assert explain(error, Portal("fe80::1%eth9", 1))
