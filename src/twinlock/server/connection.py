"""Drives one iSCSI connection of a volume: bytes in, commands to the device, bytes out.

One thread reads the socket and does all that cannot block; the pool does the
rest.  Both meet in the protocol object, which a lock keeps to one thread at a
time; output leaves under the same lock, so StatSN and the order on the wire agree.
"""

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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
from twinlock.scsi.operations import Operation, Result, Status
from twinlock.scsi.target import ScsiTarget
from twinlock.server import task_management
from twinlock.server.admission import Admission
from twinlock.server.execute import Executor
from twinlock.server.in_flight import InFlight
from twinlock.server.liveness import Liveness, can_send
from twinlock.wire.iscsi_codes import TaskManagementResponse

RECEIVE = 256 * 1024
"""Bytes asked of the socket at once."""
LOGIN_SECONDS = 15.0
"""From the first byte to full feature phase; a connection that takes longer is closed."""
SEND_PIECES = 512
"""Buffers of one ``sendmsg`` (Linux takes 1024)."""
ABORTED = Result(Status.TASK_ABORTED)

log = logging.getLogger(__name__)


class Connection:
    """One connection; :meth:`run` is its life."""

    def __init__(
        self,
        sock: socket.socket,
        peer: str,
        protocol: TargetConnection,
        target: ScsiTarget,
        executor: Executor,
        pool: ThreadPoolExecutor,
        admission: Admission,
    ) -> None:
        self.peer = peer
        self.since = time.time()
        self._sock = sock
        self._protocol = protocol
        self._target = target
        self._executor = executor
        self._pool = pool
        self._admission = admission
        self._info: SessionInfo | None = None
        self._admitted = False
        self._lock = threading.RLock()
        self._in_flight = InFlight()
        self._liveness = Liveness(sock)
        self._ended = False
        self._over = threading.Event()
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            CommandReceived: self._command_received,
            TaskManagementRequested: self._task_management_requested,
            LoggedIn: self._logged_in,
            LoggedOut: self._end,
            ProtocolFailure: self._end,
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
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._log_in(first):
                self._serve()
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
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise TimeoutError
                self._sock.settimeout(remaining)
                data = self._sock.recv(RECEIVE)
        return False

    def _serve(self) -> None:
        while not self._ended and (data := self._sock.recv(RECEIVE)):
            self._receive(data)

    def _close(self) -> None:
        self.abort()  # a command that still waits to send its answer need not
        self._in_flight.wait_until_quiet()
        try:
            if self._info is not None:
                self._target.nexus_lost(self.nexus)
            self._sock.close()
        finally:  # whoever waits for the end must hear of it in any case
            self._over.set()
            self._liveness.over()

    def abort(self) -> None:
        """Cut the connection; its thread notices and cleans up.  What it had yet to read counts no more."""
        self._ended = True
        with contextlib.suppress(OSError):  # it is closed already
            self._sock.shutdown(socket.SHUT_RDWR)

    def request_logout(self, seconds: int) -> None:
        """Tell the initiator to log out within ``seconds`` (asynchronous message, RFC 7143 section 11.9)."""
        if self._admitted:
            self._tell(lambda protocol: protocol.request_logout(seconds), patience=seconds)

    def wait(self, seconds: float) -> bool:
        """True once the connection is over, with none of its commands left."""
        return self._over.wait(seconds)

    # -- as admission sees it ---------------------------------------------------------------------

    @property
    def nexus(self) -> tuple[str, bytes]:
        """Initiator name and ISID; only after login."""
        assert self._info is not None
        return self._info.initiator_name, self._info.isid

    def is_over(self) -> bool:
        """True once no command of the connection is left."""
        return self._over.is_set()

    def is_gone(self) -> bool:
        """True if nobody waits at the other end any more."""
        return self._ended or self._liveness.is_gone()

    def answers_ping(self, patience: float) -> bool:
        """Ping; True if any PDU comes within ``patience`` seconds.

        A connection whose output is stuck cannot be pinged; then only what it sends by itself counts.
        """
        mark, until = self._liveness.mark(), time.monotonic() + patience
        self._tell(lambda protocol: protocol.ping(), patience=patience)
        return self._liveness.heard_since(mark, until)

    def evict(self) -> None:
        """Cut the connection and wait until none of its commands is left."""
        self.abort()
        self._over.wait()

    def _tell(self, say: Callable[[TargetConnection], None], *, patience: float) -> None:
        """Send something of our own accord, unless that would have to wait for the peer."""
        if not self._lock.acquire(timeout=patience):
            return
        try:
            if not self._ended and can_send(self._sock):
                say(self._protocol)
                self._send()
        except OSError:
            pass  # the connection is ending anyway
        finally:
            self._lock.release()

    # -- input ------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        self._liveness.heard()
        with self._lock:
            events = self._protocol.receive(data)
        for event in events:
            self._handlers[type(event)](event)
            if self._ended:
                break
        with self._lock:
            self._send()

    def _end(self, event: LoggedOut | ProtocolFailure) -> None:
        log.info("connection of %s: %s", self.peer, event)
        self._ended = True

    def _logged_in(self, event: LoggedIn) -> None:
        self._info = event.session
        self._admitted = self._admission.admit(self)
        if self._admitted:
            self._sock.settimeout(None)  # the limit was for the login
            log.info("%s (%s) logged in", event.session.initiator_name, self.peer)
            return
        log.info("%s (%s) turned away: the volume is taken", event.session.initiator_name, self.peer)
        self._ended = True
        with self._lock:
            self._protocol.refuse_session()

    # -- commands ---------------------------------------------------------------------------------

    def _command_received(self, event: CommandReceived) -> None:
        task = event.task
        outcome = self._start(task)
        if not isinstance(outcome, Result):
            result = self._executor.try_inline(outcome)
            if result is None:
                self._in_flight.begin(task)
                self._pool.submit(self._execute, task, outcome)
                return
            outcome = result
        with self._lock:
            self._complete(task, outcome)

    def _start(self, task: Task) -> Operation | Result:
        if task.data_withheld:
            return self._executor.refuse_length()
        return self._target.start(self.nexus, task.lun, task.cdb, task.data_out)

    def _execute(self, task: Task, operation: Operation) -> None:
        try:
            given_up = self._ended or task.aborted
            result = ABORTED if given_up else self._executor.execute(operation)
            with self._lock:
                self._complete(task, result)
                self._send()
        except OSError:
            pass  # the connection is gone; its thread notices
        except Exception:
            log.exception("a command of %s met a bug", self.peer)
            self.abort()
        finally:
            self._in_flight.end(task)

    def _complete(self, task: Task, result: Result) -> None:
        self._protocol.complete(
            task,
            status=result.status,
            data_in=result.data_in,
            sense=result.sense,
            transfer_wanted=result.transfer_wanted,
        )

    def _task_management_requested(self, event: TaskManagementRequested) -> None:
        """Answered once every command that might be meant has ended: none can reach a member afterwards."""
        if not self._in_flight.when_ended(lambda: self._finish_task_management(event)):
            self._answer_task_management(event, TaskManagementResponse.FUNCTION_REJECTED)

    def _finish_task_management(self, event: TaskManagementRequested) -> None:
        try:
            self._answer_task_management(event, task_management.carry_out(self._target, event))
        except Exception:
            log.exception("task management of %s met a bug", self.peer)
            self.abort()

    def _answer_task_management(
        self, event: TaskManagementRequested, response: TaskManagementResponse
    ) -> None:
        with self._lock, contextlib.suppress(OSError):  # the connection is gone; its thread notices
            self._protocol.finish_task_management(event, response)
            self._send()

    # -- output -----------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send all there is; the caller holds the lock."""
        buffers = self._protocol.take_output()
        while buffers:
            sent = self._sock.sendmsg(buffers[:SEND_PIECES])
            buffers = _rest(buffers, sent)


def _rest(buffers: list[Any], sent: int) -> list[Any]:
    """What is left of ``buffers`` after their first ``sent`` bytes."""
    for index, buffer in enumerate(buffers):
        size = len(buffer)
        if sent < size:
            return [memoryview(buffer)[sent:], *buffers[index + 1 :]]
        sent -= size
    return []
