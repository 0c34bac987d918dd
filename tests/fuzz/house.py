"""A whole server in one process: the supervisor's listener, a worker's service, real sockets and threads."""

import asyncio
import itertools
import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from pydantic import SecretStr

from tests.fuzz.disk import SharedDisk
from tests.fuzz.oracle.rules import Broken, Leaked, require
from tests.fuzz.setups import (
    MUTUAL_SECRET,
    MUTUAL_USER,
    SECRET,
    SIZE,
    TARGET,
    USER,
    Directory,
    Setup,
    logical_unit,
    scsi_target,
)
from tests.unit.block.arrays import array
from twinlock.iscsi.chap import ChapPolicy
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.login import FirstRequest
from twinlock.server.listener import Listener
from twinlock.server.messages import Chap, VolumeSpec
from twinlock.server.portal import Portal
from twinlock.server.service import Service
from twinlock.server.volume import Volume
from twinlock.wire.iscsi_codes import LoginStatus

PATIENCE = 0.1
"""Seconds that a session has to answer a ping before a newcomer takes its place."""
LEAK_SECONDS = 10.0
"""After which what a session left behind counts as leaked."""
_CHAP = {
    "open": None,
    "chap": Chap(user=USER, secret=SecretStr(SECRET.decode())),
    "mutual": Chap(
        user=USER,
        secret=SecretStr(SECRET.decode()),
        mutual_user=MUTUAL_USER,
        mutual_secret=SecretStr(MUTUAL_SECRET.decode()),
    ),
}


class BugLog(logging.Handler):
    """The server survives its bugs and logs them; here they are found."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


class _Router:
    """The supervisor's part: one volume, in this process."""

    discovery_authentication: ChapPolicy | None = None

    def __init__(self, service: Service) -> None:
        self._service = service

    def directory(self, _reached: Portal, _host: str) -> TargetDirectory:
        return Directory(None)

    async def route(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: Portal, _reached: Portal
    ) -> LoginStatus | None:
        if request.target_name != TARGET:
            return LoginStatus.TARGET_NOT_FOUND
        self._service.serve(client.dup(), first, str(peer))
        return None


class House:
    """Listens on a port of the loopback; every connection comes from an address of its own."""

    def __init__(self, setup: Setup, *, shared: bool) -> None:
        self.setup = setup
        self.shared = shared
        self.device = SharedDisk(SIZE, setup.block_size)
        unit = logical_unit(setup)
        spec = VolumeSpec(
            name="backup",
            members=(),
            target=TARGET,
            chap=_CHAP[setup.policy],
            patience=PATIENCE,
            shared=shared,
        )
        volume = Volume(array(size=1 << 24).mirror, self.device, unit, scsi_target(unit), None, spec)
        self.bugs = BugLog()
        logging.getLogger("twinlock").addHandler(self.bugs)
        self.service = Service(spec, volume)
        self._loop = asyncio.new_event_loop()
        self._listener = Listener(_Router(self.service))
        self._thread = threading.Thread(target=self._loop.run_forever, name="listener", daemon=True)
        self._thread.start()
        self._in_loop(self._listen)
        self._addresses = itertools.count(1)

    def _in_loop(self, act: Callable[[], object]) -> None:
        async def run() -> None:
            act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(LEAK_SECONDS)

    def _listen(self) -> None:
        self._listener.bind([Portal("127.0.0.1", 0)])
        self._listener.start()

    def connect(self) -> socket.socket:
        """A connection; wrong secrets slow down nobody but the address they came from."""
        number = next(self._addresses)
        sock = socket.socket()
        sock.bind((f"127.{number >> 16 & 0x7F | 1}.{number >> 8 & 0xFF}.{number & 0xFF}", 0))
        sock.connect(("127.0.0.1", self._listener.portals[0].port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def check_bugs(self) -> None:
        if self.bugs.records:
            raise Broken(self.bugs.records[0])

    # -- what is left behind ------------------------------------------------------------------------

    def settled(self) -> tuple[int, int, int]:
        """Sessions, threads that serve a connection, and file descriptors, right now."""
        threads = sum(thread.name not in _STAYING for thread in threading.enumerate())
        return len(self.service._lobby.all()), threads, len(os.listdir("/proc/self/fd"))

    def expect(self, before: tuple[int, int, int]) -> None:
        """Nothing more is there than ``before``, in a while at the latest."""
        until = time.monotonic() + LEAK_SECONDS
        while any(now > then for now, then in zip(self.settled(), before, strict=True)):
            if time.monotonic() > until:
                raise Leaked(f"sessions, threads, files: {self.settled()} instead of {before}")
            time.sleep(0.001)

    def close(self) -> None:
        """Shut down as a worker does; hangs if anything in there does."""
        self._in_loop(self._listener.close)
        self.service.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LEAK_SECONDS)
        require(not self._thread.is_alive(), "the listener does not end")
        self._loop.close()
        logging.getLogger("twinlock").removeHandler(self.bugs)
        self.check_bugs()


_STAYING = frozenset({"medium", "background", "listener", "MainThread"})
"""Threads that belong to no connection."""
