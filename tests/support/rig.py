"""A service over a mirror in memory, with time that stands still, and initiators on real sockets.

Members can be made slow: writes of ``HELD`` bytes wait in the second one until the test lets them go.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support.initiator import Initiator, Outcome
from tests.support.timer import PATIENCE, FakeTimer
from tests.unit.block.arrays import BLOCK, UUID, Array, array
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.target import ScsiTarget
from twinlock.server.messages import VolumeSpec
from twinlock.server.service import Service
from twinlock.server.volume import Volume
from twinlock.wire.iscsi_codes import LoginStatus, TaskManagementFunction

TARGET = "iqn.2026-11.io.twinlock:backup"
MAC, PC = "iqn.2026-11.example:mac", "iqn.2026-11.example:pc"
ISID, OTHER_ISID = b"\x80\0\0\0\0\x01", b"\x80\0\0\0\0\x02"
HELD = 8 * BLOCK
WRITE_16, READ_16 = 0x8A, 0x88


def cdb(opcode: int, block: int, count: int, *, fua: bool = False) -> bytes:
    """A 16-byte CDB of the READ(16) family."""
    return bytes([opcode, 8 * fua]) + block.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)


class Gatekeeper:
    """Holds the writes of one member until :meth:`open`."""

    def __init__(self) -> None:
        self.closed = False
        self.began = threading.Event()
        self._open = threading.Event()
        self.arrived = 0
        self.passed = 0

    def __call__(self, kind: str, _offset: int, length: int) -> None:
        if kind == "w" and length == HELD:
            self.arrived += 1
            if self.closed:
                self.began.set()
                assert self._open.wait(PATIENCE), "a held write was forgotten"
            self.passed += 1

    def close(self) -> None:
        self.closed = True

    def open(self) -> None:
        self.closed = False
        self._open.set()


class Rig:
    """Everything of one volume; use as a context."""

    def __init__(self, **spec: Any) -> None:
        self.timer = FakeTimer()
        self.clock = 1_790_000_000.0
        self.array: Array = array()
        self.gate = Gatekeeper()
        self.array.disks[1].hook = self.gate
        mirror = self.array.mirror
        self.spec = VolumeSpec(name="backup", members=("a", "b"), encrypted=False, target=TARGET, **spec)
        unit = LogicalUnit(Identity.of_array(UUID, target_name=TARGET), Geometry(mirror.size // BLOCK, BLOCK))
        self.target = ScsiTarget({0: unit})
        volume = Volume(mirror, mirror, unit, self.target, None, self.spec)
        self.service = Service(self.spec, volume, timer=self.timer, clock=lambda: self.clock)
        self.peers: list[Peer] = []

    def __enter__(self) -> "Rig":
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.open()
        for peer in self.peers:
            peer.close()
        self.timer.let_flow()
        self.service.close()

    def connect(
        self, name: str = MAC, isid: bytes = ISID, *, address: str = "127.0.0.1", **options: Any
    ) -> "Peer":
        """An initiator that has sent its first login request; it does nothing by itself."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, (_, port) = server.accept()
        peer = Peer(theirs, Initiator(TARGET, name=name, isid=isid, **options))
        self.peers.append(peer)
        peer.protocol.login()
        self.service.serve(ours, peer.protocol.take_output(), f"{address}:{port}")
        return peer

    def log_in(self, name: str = MAC, isid: bytes = ISID, **options: Any) -> "Peer":
        """An initiator that is logged in and has taken the unit attention of a new nexus."""
        peer = self.connect(name, isid, **options)
        peer.finish_login()
        assert peer.status is LoginStatus.SUCCESS
        peer.execute(bytes(16))
        return peer

    def attempt(self, name: str, isid: bytes = ISID, **options: Any) -> "Peer":
        """An initiator that logs in on a thread of its own."""
        peer = self.connect(name, isid, **options)
        peer.run(peer.finish_login)
        return peer

    def pass_time_until(self, condition: Callable[[], object]) -> None:
        """Move the time on until what waits for it has happened."""

        def passed() -> object:
            self.timer.advance(0.5)
            return condition()

        eventually(passed)

    def sessions(self) -> list[str]:
        return [session.initiator for session in self.service.status().sessions]


class Peer:
    """One initiator."""

    def __init__(self, sock: socket.socket, protocol: Initiator) -> None:
        self.sock = sock
        self.protocol = protocol
        self.ended = threading.Event()
        self._threads: list[threading.Thread] = []
        sock.settimeout(PATIENCE)

    @property
    def status(self) -> LoginStatus | None:
        return self.protocol.login_status

    def run(self, action: Callable[[], object]) -> None:
        """Do something in the background; errors of the socket end it."""

        def guarded() -> None:
            with contextlib.suppress(OSError, EOFError):
                action()

        thread = threading.Thread(target=guarded, daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait for the end of what was begun in the background."""
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "an initiator waits for ever"

    def finish_login(self) -> None:
        while self.status is None:
            self.pump()

    def stay_alive(self) -> None:
        """Answer what the target asks, until the connection ends."""
        self.run(self._stay_alive)

    def _stay_alive(self) -> None:
        try:
            while True:
                self.pump()
        finally:
            self.ended.set()

    def pump(self) -> None:
        self.sock.sendall(self.protocol.take_output())
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError
        self.protocol.receive(data)
        self.sock.sendall(self.protocol.take_output())

    def flush(self) -> None:
        """Send what is queued, and do not wait for anything."""
        self.sock.sendall(self.protocol.take_output())

    def execute(self, command: bytes, **options: Any) -> Outcome:
        return self.wait(self.protocol.command(command, **options))

    def wait(self, tag: int) -> Outcome:
        outcome = self.protocol.outcomes[tag]
        while outcome.status is None:
            self.pump()
        return outcome

    def write(self, block: int = 0, *, fua: bool = False, fill: bytes = b"w", **fields: Any) -> int:
        """Send a write that slow members hold; its tag."""
        count = HELD // BLOCK
        command = cdb(WRITE_16, block, count, fua=fua)
        tag = self.protocol.command(command, write=fill * HELD, in_command=HELD, **fields)
        self.flush()
        return tag

    def read(self, block: int = 0) -> bytes:
        outcome = self.execute(cdb(READ_16, block, HELD // BLOCK), read=HELD)
        assert outcome.status == 0, outcome
        return bytes(outcome.data)

    def manage(self, function: TaskManagementFunction, **fields: Any) -> None:
        self.protocol.task_management(function, **fields)
        self.flush()

    def answers(self, kind: type) -> list[Any]:
        """The headers of that kind which have come."""
        return [reply.header for reply in self.protocol.replies if isinstance(reply.header, kind)]

    def until(self, condition: Callable[[], object]) -> None:
        """Take what comes until the condition holds."""
        while not condition():
            self.pump()

    def is_closed(self) -> bool:
        """Whether the target closes the connection soon; takes what comes until then."""
        try:
            while True:
                self.pump()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def reset(self) -> None:
        """Gone with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def eventually(condition: Callable[[], object]) -> None:
    """Wait (real time) for what other threads are about to do."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.005)
