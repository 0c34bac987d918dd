"""A volume's connections without a volume: real sockets and threads, over any device."""

import itertools
import socket
import threading
import time
from collections.abc import Callable

from tests.support.initiator import Initiator, Outcome, Reply
from tests.unit.server.links import tcp_pair
from twinlock.block.device import BlockDevice
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.directory import TargetEntry
from twinlock.iscsi.session import SessionType
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.reservations.record import ReservationStore
from twinlock.scsi.target import ScsiTarget
from twinlock.server.admission import Admission
from twinlock.server.connection import Connection, Shared
from twinlock.server.execute import Executor
from twinlock.server.gate import Gate
from twinlock.server.pool import Pool
from twinlock.server.sessions import Sessions
from twinlock.server.task_management import TaskManagement
from twinlock.server.throttle import Throttle
from twinlock.server.timing import SYSTEM_TIMER
from twinlock.wire.iscsi_responses import NopIn

TARGET = "iqn.2026-11.example:served"
SECONDS = 20.0
"""Whatever takes longer than this has failed."""
LUN_0 = bytes(8)


class Directory:
    """One target that anybody may use."""

    def find(self, target_name: str, /) -> TargetEntry | None:
        return TargetEntry(TARGET) if target_name == TARGET else None

    def visible(self, _initiator_name: str, /) -> list[tuple[str, list[str]]]:
        return []


class Served:
    """``device`` as a logical unit, and its connections."""

    def __init__(
        self, device: BlockDevice, *, shared: bool = False, store: ReservationStore | None = None
    ) -> None:
        geometry = Geometry(device.size // device.block_size, device.block_size)
        self.unit = LogicalUnit(Identity.of_array(bytes(range(16))), geometry, reservations_store=store)
        target = ScsiTarget({0: self.unit})
        self.sessions = Sessions(target)
        self.pool = Pool()
        self.shared = Shared(
            target=target,
            executor=Executor(self.unit, device),
            pool=self.pool,
            admission=Admission(self.sessions, 5, shared=shared),
            sessions=self.sessions,
            management=TaskManagement(target, self.sessions),
            gate=Gate(Throttle(time.time)),
            timer=SYSTEM_TIMER,
        )
        self._tsih = itertools.count(1)
        self._peers: list[Peer] = []

    def peer(self, name: str = "iqn.2026-11.example:pc", *, receive_buffer: int | None = None) -> "Peer":
        """An initiator that has logged in; ``receive_buffer`` in bytes."""
        ours, theirs = tcp_pair(theirs_receive=receive_buffer)
        protocol = TargetConnection(
            Directory(),
            random_bytes=bytes,
            tsih=next(self._tsih),
            session_types=[SessionType.NORMAL],
        )
        connection = Connection(ours, "127.0.0.1:1", protocol, self.shared)
        peer = Peer(theirs, connection, protocol, name)
        self._peers.append(peer)
        peer.log_in()
        return peer

    def close(self) -> None:
        for peer in self._peers:
            peer.sock.close()
            peer.connection.evict()
            peer.thread.join(SECONDS)
            assert not peer.thread.is_alive()
        self.pool.close()


class Peer:
    """The other end of a connection; nothing is read before it is asked for."""

    def __init__(
        self, sock: socket.socket, connection: Connection, protocol: TargetConnection, name: str
    ) -> None:
        self.sock = sock
        self.connection = connection
        self.target = protocol
        self.initiator = Initiator(TARGET, name=name)
        self.thread: threading.Thread
        sock.settimeout(SECONDS)

    def log_in(self) -> None:
        self.initiator.login()
        first = self.initiator.take_output()
        self.thread = threading.Thread(target=self.connection.run, args=(first,))
        self.thread.start()
        self.read_until(lambda: self.initiator.login_status is not None)
        assert self.initiator.logged_in
        self.wait(self.command(bytes(6)))  # the unit attention of a new nexus

    # -- talking ----------------------------------------------------------------------------------

    def command(self, cdb: bytes, *, read: int = 0, write: bytes = b"") -> int:
        """Send a command; its tag."""
        tag = self.initiator.command(cdb.ljust(16, b"\0"), read=read, write=write)
        self.send()
        return tag

    def read(self, block: int, count: int, *, block_size: int = 4096) -> int:
        return self.command(_transfer(0x88, block, count), read=count * block_size)

    def write(self, block: int, data: bytes, *, block_size: int = 4096) -> int:
        return self.command(_transfer(0x8A, block, len(data) // block_size), write=data)

    def flush(self) -> int:
        return self.command(b"\x91")

    def nop(self, data: bytes = b"") -> int:
        self.initiator.nop(data)
        self.send()
        return self.initiator._tag

    def manage(self, function: int, **fields: int | bytes) -> int:
        self.initiator.task_management(function, **fields)
        self.send()
        return self.initiator._tag

    def send(self) -> None:
        self.sock.sendall(self.initiator.take_output())

    # -- listening --------------------------------------------------------------------------------

    def read_until(self, condition: Callable[[], bool]) -> None:
        """Take what comes until ``condition`` holds; EOFError if the target closes before."""
        while not condition():
            data = self.sock.recv(1 << 18)
            if not data:
                raise EOFError("the target closed the connection")
            self.initiator.receive(data)
            self.send()

    def wait(self, tag: int) -> Outcome:
        """The outcome of a command, once it has one."""
        outcome = self.initiator.outcomes[tag]
        self.read_until(lambda: outcome.status is not None)
        return outcome

    def answer(self, tag: int) -> Reply:
        """The one PDU that answers a ping or a task management function, once it has come."""
        replies = self.initiator.replies
        self.read_until(lambda: any(_tag(reply) == tag for reply in replies))
        return next(reply for reply in replies if _tag(reply) == tag)

    def await_pong(self) -> None:
        """A ping and its answer."""
        assert isinstance(self.answer(self.nop()).header, NopIn)

    def bytes_before(self, tag: int) -> int:
        """How many bytes of data came before the answer with that tag."""
        replies = self.initiator.replies
        end = next(index for index, reply in enumerate(replies) if _tag(reply) == tag)
        return sum(len(reply.data) for reply in replies[:end])

    # -- what the target's side knows ---------------------------------------------------------------

    @property
    def unsent(self) -> int:
        return self.connection._commands._output.size

    @property
    def waiting(self) -> int:
        """How many reads wait for room."""
        return len(self.connection._commands._data_in._waiting)

    @property
    def is_stuck(self) -> bool:
        return self.connection._commands._output.is_stuck


def eventually(condition: Callable[[], bool]) -> None:
    """Return when ``condition`` holds; fails if that takes too long."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.002)


def settled(measure: Callable[[], object]) -> None:
    """Return once ``measure`` has not changed for a while."""
    before, since = measure(), time.monotonic()
    while time.monotonic() - since < 0.15:
        time.sleep(0.01)
        now = measure()
        if now != before:
            before, since = now, time.monotonic()


def _tag(reply: Reply) -> int | None:
    return getattr(reply.header, "initiator_task_tag", None)


def _transfer(opcode: int, block: int, count: int) -> bytes:
    """A 16-byte CDB of the READ(16) family."""
    return bytes([opcode, 0]) + block.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)
