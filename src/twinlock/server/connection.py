"""Drives one iSCSI connection of a volume: bytes in, commands to the device, bytes out.

One thread reads the socket and does all that cannot block; the pool does what may wait
for a medium, and a writer, if it is ever needed, what waits for the peer to read.  They
meet in the protocol object, which a lock keeps to one thread at a time; output leaves under
the same lock, so StatSN and the order on the wire agree.  Nobody waits while holding it.
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import (
    CommandReceived,
    LoggedIn,
    LoggedOut,
    PingAnswered,
    ProtocolFailure,
    SessionInfo,
    TaskManagementRequested,
)
from twinlock.iscsi.task import Task
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.operations import AbortTasks, Operation, Result
from twinlock.scsi.target import ScsiTarget
from twinlock.server.admission import Admission
from twinlock.server.commands import Commands
from twinlock.server.execute import Executor
from twinlock.server.gate import Gate
from twinlock.server.in_flight import Affected, InFlight
from twinlock.server.liveness import Liveness
from twinlock.server.pool import Pool
from twinlock.server.portal import Portal
from twinlock.server.sessions import Sessions
from twinlock.server.sockets import set_up, wait_for
from twinlock.server.task_management import TaskManagement
from twinlock.server.timing import Timer
from twinlock.units import one_line
from twinlock.wire.iscsi_codes import AsyncEvent, LoginStatus, TaskManagementResponse

RECEIVE = 256 * 1024
"""Bytes asked of the socket at once."""
LOGIN_SECONDS = 15.0
"""From the first byte to full feature phase; a connection that takes longer is closed."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shared:
    """What the connections of a volume have in common."""

    target: ScsiTarget
    executor: Executor
    pool: Pool
    admission: Admission
    sessions: Sessions
    management: TaskManagement
    gate: Gate
    timer: Timer


class Connection:
    """One connection; :meth:`run` is its life."""

    def __init__(self, sock: socket.socket, peer: str, protocol: TargetConnection, shared: Shared) -> None:
        """``peer``: address and port, as :class:`Portal` writes them."""
        self.peer = peer
        self.since = time.time()
        self._address = Portal.parse(peer).host
        self.source = shared.gate.source(self._address)
        self._sock = sock
        self._protocol = protocol
        self._shared = shared
        self._info: SessionInfo | None = None
        self._nexus: Nexus | None = None
        self._admitted = False
        self._lock = threading.RLock()
        self._commands = Commands(
            sock,
            protocol,
            self._lock,
            start=self._start,
            abort_others=self._abort_others,
            executor=shared.executor,
            pool=shared.pool,
            cut=self.abort,
            peer=peer,
        )
        self._liveness = Liveness(sock, shared.timer)
        self._ended = False
        self._over = threading.Event()
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            CommandReceived: self._commands.begin,
            TaskManagementRequested: self._task_management_requested,
            LoggedIn: self._logged_in,
            LoggedOut: self._logged_out,
            ProtocolFailure: self._failed,
            PingAnswered: lambda _event: None,
        }

    @property
    def is_stranger(self) -> bool:
        """True until the initiator has proved who it is, or the connection ends."""
        return self._info is None and not self._ended

    @property
    def session(self) -> SessionInfo | None:
        """The session, once it was admitted."""
        return self._info if self._admitted else None

    # -- the life of the connection ---------------------------------------------------------------

    def run(self, first: bytes) -> None:
        """Serve until either side ends it; ``first`` was read from the socket before."""
        try:
            set_up(self._sock)
            if self._shared.gate.pass_through(self._address, self.is_gone) and self._log_in(first):
                self._serve()
            if self._ended:
                self._commands.end()  # as the answer to a logout says (RFC 7143 section 11.15)
                self._commands.say_last_words()
        except TimeoutError:
            log.info("connection of %s took too long to log in", self.peer)
        except OSError as error:
            log.info("connection of %s ended: %s", self.peer, error)
        except Exception:
            log.exception("connection of %s met a bug", self.peer)
        finally:
            self._close()

    def _log_in(self, data: bytes) -> bool:
        """True once the session is admitted; raises TimeoutError if the login takes too long."""
        deadline = time.monotonic() + LOGIN_SECONDS
        while data and not self._ended:
            self._receive(data)
            if self._admitted:
                return not self._ended
            if not self._ended:
                if not wait_for(self._sock, select.POLLIN, deadline - time.monotonic()):
                    raise TimeoutError
                data = self._sock.recv(RECEIVE)
        return False

    def _serve(self) -> None:
        while not self._ended and (data := self._sock.recv(RECEIVE)):
            self._receive(data)

    def _close(self) -> None:
        self.abort()
        self._commands.close()
        try:
            self._sock.close()
        finally:  # whoever waits for the end must hear of it in any case
            self._shared.sessions.remove(self)
            self._over.set()
            self._liveness.over()

    def abort(self) -> None:
        """Cut the connection; its thread notices and cleans up.  What it had yet to read counts no more."""
        self._ended = True
        self._commands.give_up()
        with contextlib.suppress(OSError):  # it is closed already
            self._sock.shutdown(socket.SHUT_RDWR)

    def request_logout(self, seconds: int) -> None:
        """Tell the initiator to log out within ``seconds`` (asynchronous message, RFC 7143 section 11.9)."""
        if self._admitted:
            self._tell(lambda protocol: protocol.request_logout(seconds))

    def wait(self, seconds: float) -> bool:
        """True once the connection is over, with none of its commands left."""
        return self._over.wait(seconds)

    # -- as admission sees it ---------------------------------------------------------------------

    @property
    def nexus(self) -> Nexus:
        """Initiator name and ISID; only after login."""
        assert self._nexus is not None
        return self._nexus

    @property
    def in_flight(self) -> InFlight:
        """The commands that may have an effect."""
        return self._commands.in_flight

    @property
    def last_heard(self) -> float:
        """When anything came, in the timer's seconds."""
        return self._liveness.last_heard

    def is_gone(self) -> bool:
        """True if nobody waits at the other end any more."""
        return self._ended or self._liveness.is_gone()

    def answers_ping(self, patience: float, given_up: Callable[[], bool] = lambda: False) -> bool:
        """Ping; True if any PDU comes within ``patience`` seconds, and before ``given_up``."""
        return self._liveness.answers(
            lambda: self._tell(lambda protocol: protocol.ping()), patience, given_up
        )

    def abort_tasks(self, affected: Affected) -> None:
        """Abort tasks on behalf of others, in silence; those that may still have an effect are in flight."""
        with self._lock:
            self._protocol.abort_tasks(affected)
        self._commands.drop_aborted()

    def drop(self, *, all_sessions: bool = False) -> None:
        """Cut the connection; the initiator is told why if its socket takes that at once."""
        event = AsyncEvent.ALL_CONNECTIONS_DROPPED if all_sessions else AsyncEvent.CONNECTION_DROPPED
        self._tell(lambda protocol: protocol.announce(event))
        self.abort()

    def evict(self) -> None:
        """Cut the connection and wait until none of its commands is left."""
        self.abort()
        self._over.wait()

    def _tell(self, say: Callable[[TargetConnection], None]) -> None:
        """Say something of our own accord; what the socket does not take now goes ahead of all data."""
        with self._lock, contextlib.suppress(OSError):  # the connection is ending anyway
            if not self._ended:
                say(self._protocol)
                self._commands.transmit()

    # -- input ------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        self._liveness.heard()
        with self._lock:
            events = self._protocol.receive(data)
            if events and isinstance(events[-1], LoggedOut):
                self._commands.hold_output()
            if self._admitted and self._protocol.output_size:  # pings and R2Ts need not wait for the commands
                self._commands.transmit()
        for event in events:
            self._handlers[type(event)](event)
            if self._ended:
                break
        with self._lock:
            self._commands.transmit()

    def _logged_out(self, event: LoggedOut) -> None:
        log.info("connection of %s: %s", self.peer, event)
        self._ended = True

    def _failed(self, event: ProtocolFailure) -> None:
        log.info("connection of %s: %s", self.peer, event)
        self._ended = True
        if event.status is LoginStatus.AUTHENTICATION_FAILURE:
            self._shared.gate.failed(self._address)

    def _logged_in(self, event: LoggedIn) -> None:
        if event.session.user is not None:
            self._shared.gate.succeeded(self._address)
        self._nexus = Nexus(event.session.initiator_name, event.session.isid)
        self._info = event.session
        name = one_line(event.session.initiator_name)
        status = self._shared.admission.admit(self)
        self._admitted = status is LoginStatus.SUCCESS
        if self._admitted:
            log.info("%s (%s) logged in", name, self.peer)
            return
        log.info("%s (%s) turned away: 0x%04x", name, self.peer, status)
        self._ended = True
        with self._lock:
            self._protocol.refuse_session(status)

    # -- commands ---------------------------------------------------------------------------------

    def _start(self, task: Task) -> Operation | Result:
        if task.data_withheld:
            return self._shared.executor.refuse_length()
        assert self._nexus is not None
        return self._shared.target.start(self._nexus, task.lun, task.cdb, task.data_out)

    def _abort_others(self, task: Task, operation: AbortTasks, then: Callable[[Result], None]) -> None:
        unit = self._shared.target.unit(task.lun)
        assert unit is not None
        self._shared.management.abort_for(self, task.lun, operation, lambda: then(unit.finish(operation)))

    def _task_management_requested(self, event: TaskManagementRequested) -> None:
        """Answered once every command that is meant has ended: none can reach a member afterwards."""
        self._commands.drop_aborted()

        def answer(response: TaskManagementResponse) -> None:
            self._commands.answer(lambda: self._protocol.finish_task_management(event, response))

        self._shared.management.carry_out(self, event, answer)
