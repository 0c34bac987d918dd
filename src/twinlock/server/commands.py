"""The commands of one connection on their way to the device, and their answers on the way out.

A command is in flight from before it is started until it can have no effect any more, be
it in the reader's thread, in the pool, or waiting for room for its data.  None of
these waits for the peer: answers that the socket does not take at once are the writer's,
which also begins the reads that waited.
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import CommandReceived, Event
from twinlock.iscsi.task import Task
from twinlock.scsi.operations import AbortTasks, Later, Operation, Read, Result, Status
from twinlock.server.data_in import DATA_IN_MEMORY, DataIn
from twinlock.server.execute import Executor
from twinlock.server.in_flight import InFlight
from twinlock.server.output import CHUNK, Output, Writer
from twinlock.server.pool import Pool
from twinlock.server.sockets import wait_for
from twinlock.units import MIB

LAST_WORDS_SECONDS = 5.0
"""For the peer to take what is said at the end: a logout response, or why a login was refused."""
MAX_OUTPUT = DATA_IN_MEMORY + 8 * MIB
"""Bytes that may wait to be sent; a peer that asks for more without reading is cut off.

Reads do not begin beyond theirs.  All else that a window of commands can ask for is far less.
"""
MAX_ANSWERS = 4096
"""Answers without data that may wait to be sent, however short."""
ABORTED = Result(Status.TASK_ABORTED)
BUSY = Result(Status.BUSY)
"""There is no thread to carry the command out; the initiator tries again."""

Start = Callable[[Task], Operation | Result]
AbortOthers = Callable[[Task, AbortTasks, Callable[[Result], None]], None]

log = logging.getLogger(__name__)


class Commands:
    """What runs for one connection; ``lock`` guards ``protocol`` and its output."""

    def __init__(
        self,
        sock: socket.socket,
        protocol: TargetConnection,
        lock: threading.RLock,
        *,
        start: Start,
        abort_others: AbortOthers,
        executor: Executor,
        pool: Pool,
        cut: Callable[[], None],
        peer: str,
    ) -> None:
        """``start`` judges a command (:mod:`twinlock.scsi`); ``cut`` ends the connection, without waiting."""
        self.in_flight = InFlight()
        self._sock = sock
        self._protocol = protocol
        self._lock = lock
        self._start = start
        self._abort_others = abort_others
        self._executor = executor
        self._pool = pool
        self._cut = cut
        self._peer = peer
        self._given_up = False
        self._output = Output(sock, protocol)
        self._data_in = DataIn()
        self._writer = Writer(lock, self._has_deferred, self._do_deferred, name=f"{peer} writer")

    # -- one command ------------------------------------------------------------------------------

    def begin(self, event: CommandReceived) -> None:
        """Carry a command out, as far as that needs no waiting; the rest follows in other threads."""
        task = event.task
        try:
            if not self.in_flight.begin(task):
                self._finish(task, ABORTED)
                return
            outcome = self._start(task)
            if isinstance(outcome, Result):
                self._finish(task, outcome)
            elif self._do_at_once(task, outcome):
                return  # nearly always, so it is asked first
            elif isinstance(outcome, AbortTasks):
                self._wait_for_others(task, outcome)
            elif self._may_begin(task, outcome):
                self._do_later(task, outcome)
        except BaseException:
            self.in_flight.end(task)
            raise

    def _do_at_once(self, task: Task, operation: Operation) -> bool:
        """Do what needs no waiting, neither for a medium nor for room."""
        if isinstance(operation, Read) and not self._data_in.has_room(operation, self._output.size):
            return False
        result = self._executor.try_inline(operation)
        if result is None:
            return False
        self._finish(task, result)
        return True

    def _may_begin(self, task: Task, operation: Operation) -> bool:
        """A read counts from here on, or waits for room; not if it was aborted, for nobody would drop it."""
        if not isinstance(operation, Read):
            return True
        with self._lock:
            given_up = self._given_up or task.aborted
            return given_up or self._data_in.begin(task, operation, self._output.size)

    def _do_later(self, task: Task, operation: Operation) -> None:
        try:
            self._pool.submit(partial(self._execute, task, operation))
        except RuntimeError:
            with self._lock:
                self._data_in.end(task)
            self._finish(task, BUSY)

    def _finish(self, task: Task, result: Result) -> None:
        """The end of a command that needed no other thread; its answer may leave with those of others."""
        with self._lock:
            self._complete(task, result)
            if self._protocol.output_size > CHUNK:
                self.transmit()
        self.in_flight.end(task)

    def _execute(self, task: Task, operation: Operation) -> None:
        try:
            outcome = self._carry_out(task, operation)
            if isinstance(outcome, AbortTasks):
                self._wait_for_others(task, outcome)
                return
            with self._lock:
                self._data_in.end(task)
                self._complete(task, outcome)
                self.transmit()
        except OSError:
            pass  # the connection is gone; its thread notices
        except Exception:
            log.exception("a command of %s met a bug", self._peer)
            self._cut()
        finally:
            self.in_flight.end(task)

    def _carry_out(self, task: Task, operation: Operation) -> Result | AbortTasks:
        if isinstance(operation, Later):
            return ABORTED if self._given_up or task.aborted else operation.run()
        return self._executor.execute(operation, lambda: self._given_up or task.aborted)

    def _complete(self, task: Task, result: Result) -> None:
        self._protocol.complete(
            task,
            status=result.status,
            data_in=result.data_in,
            sense=result.sense,
            transfer_wanted=result.transfer_wanted,
        )

    def _begin_elsewhere(self, event: Event) -> None:
        """A command whose turn came when another ended: this thread is not free for it."""
        assert isinstance(event, CommandReceived)
        try:
            self._pool.submit(partial(self._begin_later, event))
        except RuntimeError:
            self._complete(event.task, BUSY)

    def _begin_later(self, event: CommandReceived) -> None:
        try:
            self.begin(event)
            with self._lock:
                self.transmit()
        except OSError:
            pass  # the connection is gone; its thread notices
        except Exception:
            log.exception("a command of %s met a bug", self._peer)
            self._cut()

    def _wait_for_others(self, task: Task, operation: AbortTasks) -> None:
        """A command that waits for the ends of others has no effect of its own: nobody waits for its end."""
        self.in_flight.end(task)
        self._abort_others(task, operation, lambda result: self.answer(lambda: self._complete(task, result)))

    def answer(self, say: Callable[[], None]) -> None:
        """Say what had to wait for others; it may be a thread of theirs that comes here."""
        try:
            with self._lock, contextlib.suppress(OSError):  # the connection is gone; its thread notices
                say()
                self.transmit()
        except Exception:
            log.exception("connection of %s met a bug", self._peer)
            self._cut()

    # -- the end of many --------------------------------------------------------------------------

    def drop_aborted(self) -> None:
        """End those that wait for room and were aborted meanwhile."""
        with self._lock:
            dropped = self._data_in.drop(lambda task: task.aborted)
            for task in dropped:
                self._complete(task, ABORTED)
            with contextlib.suppress(OSError):  # the connection is gone; its thread notices
                self.transmit()
        for task in dropped:
            self.in_flight.end(task)

    def give_up(self) -> None:
        """Begin nothing any more."""
        self._given_up = True
        self.in_flight.fence()

    def hold_output(self) -> None:
        """Send nothing before :meth:`end`: a logout is answered when no command is left (RFC 7143 11.15).

        The caller holds the lock, and has not let go of it since the answer was queued.
        """
        self._output.is_held = True

    def end(self) -> None:
        """Return once no command can reach a member any more; what was answered may still be said."""
        self.give_up()
        with self._lock:
            dropped = self._data_in.drop(lambda _task: True)
        for task in dropped:
            self.in_flight.end(task)
        self.in_flight.wait_until_quiet()
        self._output.is_held = False

    def close(self) -> None:
        """As :meth:`end`; no thread works for this connection either.  Its socket is shut down, but open."""
        self.end()
        self._writer.end()

    # -- output -----------------------------------------------------------------------------------

    def transmit(self) -> None:
        """Send what the socket takes; the caller holds the lock.  Raises OSError if the connection is cut.

        To be called after whatever may have made output, or ended a task that others wait for.
        """
        while events := self._protocol.take_events():
            for event in events:
                self._begin_elsewhere(event)
        self._output.send()
        if self._output.is_stuck and not self._given_up and self._is_too_much():
            log.warning("connection of %s is cut: it does not read what it asks for", self._peer)
            self._cut()
        elif self._has_deferred():
            self._wake_writer()

    def _is_too_much(self) -> bool:
        return self._output.size > MAX_OUTPUT or self._protocol.answers_waiting > MAX_ANSWERS

    def _wake_writer(self) -> None:
        try:
            self._writer.wake()
        except RuntimeError as error:  # nobody would send the rest
            log.warning("connection of %s is cut: %s", self._peer, error)
            self._cut()

    def _has_deferred(self) -> bool:
        if self._given_up:
            return False
        return self._output.is_stuck or self._data_in.can_begin(self._output.size)

    def _do_deferred(self) -> None:
        """What the writer does: send as the peer reads, and begin the reads there is room for."""
        try:
            if self._output.is_stuck:
                wait_for(self._sock, select.POLLOUT)
            with self._lock:
                self._output.resume()
                waiting = self._data_in.next(self._output.size)
            if waiting is not None:
                self._begin_waiting(waiting.task, waiting.operation)
        except OSError:
            self._cut()
        except Exception:
            log.exception("connection of %s met a bug", self._peer)
            self._cut()

    def _begin_waiting(self, task: Task, operation: Read) -> None:
        try:
            result = self._executor.try_inline(operation)
            if result is None:
                self._do_later(task, operation)
            else:
                with self._lock:
                    self._data_in.end(task)
                self._finish(task, result)
        except BaseException:
            self.in_flight.end(task)
            raise
        with self._lock:  # the task may be the pool's now: nothing that fails here ends it
            self.transmit()

    def say_last_words(self) -> None:
        """Send what is left, if the peer takes it soon; raises OSError if the connection is cut meanwhile."""
        deadline = time.monotonic() + LAST_WORDS_SECONDS
        while (remaining := deadline - time.monotonic()) > 0:
            with self._lock:
                self._output.resume()
                if not self._output.size:
                    return
            wait_for(self._sock, select.POLLOUT, remaining)
