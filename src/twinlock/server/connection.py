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
    Discovered,
    LoggedIn,
    LoggedOut,
    PingAnswered,
    ProtocolFailure,
    SessionInfo,
    TaskManagementRequested,
)
from twinlock.iscsi.task import Task
from twinlock.scsi.operations import Operation, Result
from twinlock.scsi.target import ScsiTarget
from twinlock.server import task_management
from twinlock.server.admission import Admission
from twinlock.server.execute import Executor

RECEIVE = 256 * 1024
"""Bytes asked of the socket at once."""
LOGIN_SECONDS = 15.0
"""From the first byte to full feature phase; a connection that takes longer is closed."""
SEND_PIECES = 512
"""Buffers of one ``sendmsg`` (Linux takes 1024)."""

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
        self.session: SessionInfo | None = None
        self._sock = sock
        self._protocol = protocol
        self._target = target
        self._executor = executor
        self._pool = pool
        self._admission = admission
        self._lock = threading.RLock()
        self._idle = threading.Condition()
        self._in_flight = 0
        self._heard = threading.Condition()
        self._heard_count = 0
        self._ended = False
        self._over = threading.Event()
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            CommandReceived: self._command_received,
            TaskManagementRequested: self._task_management_requested,
            LoggedIn: self._logged_in,
            Discovered: lambda _event: None,
            LoggedOut: self._end,
            ProtocolFailure: self._end,
            PingAnswered: lambda _event: None,
        }

    # -- the life of the connection ---------------------------------------------------------------

    def run(self, first: bytes) -> None:
        """Serve until either side ends it; ``first`` was read from the socket before."""
        deadline = threading.Timer(LOGIN_SECONDS, self._login_overdue)
        deadline.daemon = True
        deadline.start()
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._receive(first)
            while not self._ended and (data := self._sock.recv(RECEIVE)):
                self._receive(data)
        except OSError as error:
            log.info("connection of %s ended: %s", self.peer, error)
        except Exception:
            log.exception("connection of %s met a bug", self.peer)
        finally:
            deadline.cancel()
            self._close()

    def _close(self) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not self._in_flight)
        if self.session is not None:
            self._target.nexus_lost(self.nexus)
        self._sock.close()
        self._over.set()

    def _login_overdue(self) -> None:
        if self.session is None:
            self.abort()

    def abort(self) -> None:
        """Cut the connection; its thread notices and cleans up.  What it had yet to read counts no more."""
        self._ended = True
        with contextlib.suppress(OSError):  # it is closed already
            self._sock.shutdown(socket.SHUT_RDWR)

    def request_logout(self, seconds: int) -> None:
        """Tell the initiator to log out within ``seconds`` (asynchronous message, RFC 7143 section 11.9)."""
        if self.session is not None and self._lock.acquire(timeout=seconds):
            try:
                self._protocol.request_logout(seconds)
                self._send()
            except OSError:
                pass  # the connection is ending anyway
            finally:
                self._lock.release()

    def wait(self, seconds: float) -> bool:
        """True once the connection is over, with none of its commands left."""
        return self._over.wait(seconds)

    # -- as admission sees it ---------------------------------------------------------------------

    @property
    def nexus(self) -> tuple[str, bytes]:
        """Initiator name and ISID; only after login."""
        assert self.session is not None
        return self.session.initiator_name, self.session.isid

    def is_over(self) -> bool:
        """True once no command of the connection is left."""
        return self._over.is_set()

    def answers_ping(self, patience: float) -> bool:
        """Ping; True if any PDU comes within ``patience`` seconds.

        A connection whose output is stuck cannot be pinged; then only what it sends by itself counts.
        """
        with self._heard:
            before = self._heard_count
        until = time.monotonic() + patience
        if self._lock.acquire(timeout=patience):
            try:
                self._protocol.ping()
                self._send()
            except OSError:
                return False
            finally:
                self._lock.release()
        with self._heard:
            self._heard.wait_for(
                lambda: self._heard_count != before or self._over.is_set(), until - time.monotonic()
            )
            return self._heard_count != before

    def evict(self) -> None:
        """Cut the connection and wait until none of its commands is left."""
        self.abort()
        self._over.wait()

    # -- input ------------------------------------------------------------------------------------

    def _receive(self, data: bytes) -> None:
        with self._heard:
            self._heard_count += 1
            self._heard.notify_all()
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
        self.session = event.session
        if not self._admission.admit(self):
            log.info(
                "%s (%s) turned away: another initiator is connected", event.session.initiator_name, self.peer
            )
            with self._lock:
                self._protocol.refuse_session()
            self._ended = True
            return
        log.info("%s (%s) logged in", event.session.initiator_name, self.peer)

    # -- commands ---------------------------------------------------------------------------------

    def _command_received(self, event: CommandReceived) -> None:
        task = event.task
        if task.data_withheld:
            outcome: Operation | Result = self._executor.refuse_length()
        else:
            outcome = self._target.start(self.nexus, task.lun, task.cdb, task.data_out)
        if not isinstance(outcome, Result):
            result = self._executor.try_inline(outcome)
            if result is None:
                self._count(1)
                self._pool.submit(self._execute, task, outcome)
                return
            outcome = result
        with self._lock:
            self._complete(task, outcome)

    def _execute(self, task: Task, operation: Operation) -> None:
        try:
            result = self._executor.execute(operation)
            with self._lock:
                self._complete(task, result)
                self._send()
        except OSError:
            pass  # the connection is gone; its thread notices
        except Exception:
            log.exception("a command of %s met a bug", self.peer)
            self.abort()
        finally:
            self._count(-1)

    def _complete(self, task: Task, result: Result) -> None:
        self._protocol.complete(
            task,
            status=result.status,
            data_in=result.data_in,
            sense=result.sense,
            transfer_wanted=result.transfer_wanted,
        )

    def _count(self, change: int) -> None:
        with self._idle:
            self._in_flight += change
            if not self._in_flight:
                self._idle.notify_all()

    def _task_management_requested(self, event: TaskManagementRequested) -> None:
        """Answered once every command that might be meant has ended: none can reach a member afterwards."""
        self._pool.submit(self._finish_task_management, event)

    def _finish_task_management(self, event: TaskManagementRequested) -> None:
        with self._idle:
            self._idle.wait_for(lambda: not self._in_flight)
        response = task_management.carry_out(self._target, event)
        with self._lock:
            self._protocol.finish_task_management(event, response)
            with contextlib.suppress(OSError):  # the connection is gone; its thread notices
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
