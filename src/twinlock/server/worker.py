"""The process that holds one volume: its members, its key and its sessions.

It lives by a listening control socket that it inherits.  A supervisor connects
to it; when that supervisor is gone the worker serves on, and the next one
connects to the same socket.  A worker that holds no volume ends with its
supervisor.  The volume key never leaves this process.
"""

import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import twinlock
from twinlock.errors import (
    DeviceError,
    InternalError,
    NoMemberUsable,
    NotClosedCleanly,
    NotPossibleNow,
    TwinlockError,
)
from twinlock.native.process import harden, is_dumpable
from twinlock.native.selftest import self_test
from twinlock.server import control
from twinlock.server.create import create_volume
from twinlock.server.maintenance.context import Context
from twinlock.server.maintenance.registry import carry_out
from twinlock.server.maintenance.runner import Runner
from twinlock.server.message import Message
from twinlock.server.messages import (
    PROTOCOL,
    Create,
    Envelope,
    Hello,
    Identity,
    Login,
    Maintain,
    Open,
    Request,
    Status,
    Stop,
)
from twinlock.server.service import Service
from twinlock.server.takeover.facts import Import
from twinlock.server.takeover.take_over import take_over

BACKLOG = 4
LOG_BYTES, LOG_FILES = 1 << 20, 2

log = logging.getLogger(__name__)


class Worker:
    """Answers one supervisor at a time; the newest connection counts."""

    def __init__(self, listening: socket.socket, failure: TwinlockError | None = None) -> None:
        """``failure``: why this process must not hold a key; every request is answered with it."""
        self._failure = failure
        self._listening = listening
        self._listening.listen(BACKLOG)  # again: whoever connects is told the process that listened last
        self._supervisor: socket.socket | None = None
        self._service: Service | None = None
        self._running = True
        self._runner = Runner()
        self._selector = selectors.DefaultSelector()
        self._handlers: dict[type[Any], Callable[[Any, list[int]], Message | None]] = {
            Hello: self._hello,
            Create: self._create,
            Import: self._import,
            Open: self._open,
            Login: self._login,
            Status: self._status,
            Stop: self._stop,
        }

    def run(self) -> None:
        """Answer until told to stop, or until nobody needs this worker any more."""
        wake = _signal_pipe()
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)
        self._selector.register(wake, selectors.EVENT_READ, self._signalled)
        self._selector.register(self._runner, selectors.EVENT_READ, self._answer_late)
        try:
            while self._running:
                for key, _ in self._selector.select():
                    key.data()
        finally:
            self._runner.close()
            if self._service is not None:
                self._service.close()

    def _signalled(self) -> None:
        self._running = False

    def _accept(self) -> None:
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            log.warning("a supervisor could not connect: %s", error)
            time.sleep(1)  # out of file descriptors: they come back as connections end
            return
        self._drop_supervisor()
        self._supervisor = connection
        self._selector.register(connection, selectors.EVENT_READ, self._serve)

    def _drop_supervisor(self) -> None:
        if self._supervisor is not None:
            self._selector.unregister(self._supervisor)
            self._supervisor.close()
            self._supervisor = None

    def _serve(self) -> None:
        assert self._supervisor is not None
        try:
            packet, descriptors = control.receive(self._supervisor)
        except OSError:
            packet, descriptors = b"", []
        try:
            self._answer(control.decode(packet), descriptors)
        except ValueError:  # the end, or a supervisor of another time, which then asks by signal
            if packet:
                log.warning("a message of the supervisor was not understood")
            self._drop_supervisor()
            self._running = self._service is not None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _answer(self, envelope: Envelope, descriptors: list[int]) -> None:
        request = envelope.request
        if request is None:
            raise ValueError("a message that asks for nothing")
        if isinstance(request, Maintain) and self._failure is None:
            asker = self._supervisor
            self._runner.submit(asker, lambda: self._maintained(envelope.id, request, asker))
            return
        self._send(_reply(envelope.id, request, lambda: self._handle(request, descriptors)))

    def _answer_late(self) -> None:
        """Tasks are done; whoever asked for one may be gone by now."""
        for asker, reply in self._runner.take_done():
            if asker is self._supervisor:
                self._send(reply)

    def _send(self, reply: Envelope) -> None:
        try:
            if self._supervisor is not None:
                self._supervisor.send(control.encode(reply))
        except OSError:
            log.warning("the supervisor went away before it had its answer")

    def _handle(self, request: Request, descriptors: list[int]) -> Message | None:
        if self._failure is not None:
            raise self._failure
        return self._handlers[type(request)](request, descriptors)

    # -- requests ---------------------------------------------------------------------------------

    def _hello(self, _request: Hello, _descriptors: list[int]) -> Message:
        volume = self._service.spec.name if self._service else None
        return Identity(
            protocol=PROTOCOL,
            version=twinlock.__version__,
            pid=os.getpid(),
            volume=volume,
            dumpable=is_dumpable(),
        )

    def _create(self, request: Create, _descriptors: list[int]) -> Message:
        return create_volume(request, wanted=self._has_supervisor)

    def _import(self, request: Import, _descriptors: list[int]) -> Message:
        return take_over(request, wanted=self._has_supervisor)

    def _has_supervisor(self) -> bool:
        """False once whoever asked has gone, interrupted or killed."""
        return _is_there(self._supervisor)

    def _maintained(self, number: int, request: Maintain, asker: socket.socket | None) -> Envelope:
        """The reply to a task; in the runner's thread."""
        context = Context(
            request.spec,
            self._service,
            wanted=lambda: not self._runner.is_closing and _is_there(asker),
            derivation_lock=Path(request.derivation_lock),
        )
        return _reply(number, request, lambda: carry_out(request.task, context))

    def _open(self, request: Open, _descriptors: list[int]) -> Message:
        if self._service is None:
            self._service = Service.open(request.spec, request.passphrase, Path(request.derivation_lock))
        return self._service.status()

    def _login(self, request: Login, descriptors: list[int]) -> None:
        if not descriptors or self._service is None:  # no descriptor is left for it
            return
        sock = socket.socket(fileno=descriptors.pop())
        self._service.serve(sock, request.first, request.peer, request.addresses)

    def _status(self, _request: Status, _descriptors: list[int]) -> Message:
        if self._service is None:
            raise InternalError(reason="the volume is not open")
        return self._service.status()

    def _stop(self, _request: Stop, _descriptors: list[int]) -> None:
        self._runner.close()
        self._answer_late()  # a task that ended just now: the configuration has to follow
        service, self._service = self._service, None
        self._running = False
        if service is not None:
            service.close()


def _reply(number: int, request: Request, work: Callable[[], Message | None]) -> Envelope:
    """What came of a request, whatever that is."""
    try:
        result = work()
        return Envelope(id=number, result=result.model_dump(mode="json") if result else {})
    except TwinlockError as error:
        log.warning("%s: %s", request.op, error)
        return Envelope(id=number, error=error.describe())
    except DeviceError as error:
        log.error("%s: %s", request.op, error)
        return Envelope(id=number, error=_for_people(request, error).describe())
    except Exception as error:
        log.exception("%s met a bug", request.op)
        return Envelope(id=number, error=InternalError(reason=type(error).__name__).describe())


def _is_there(peer: socket.socket | None) -> bool:
    """False once the other end has closed."""
    try:
        return peer is not None and bool(peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _for_people(request: Request, error: DeviceError) -> TwinlockError:
    """What it means that a member failed in the middle of a request."""
    if isinstance(request, Open):
        return NoMemberUsable(name=request.spec.name, reason=error)
    if isinstance(request, Maintain):
        return NotPossibleNow(reason=error)
    return NotClosedCleanly(reason=error)


def _signal_pipe() -> int:
    """A descriptor that becomes readable when the process is asked to end."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


def main() -> None:
    """``python -m twinlock.server.worker FD LOG``: FD is the listening control socket."""
    handler = RotatingFileHandler(sys.argv[2], maxBytes=LOG_BYTES, backupCount=LOG_FILES)
    layout = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.INFO, format=layout, handlers=[handler])
    Worker(socket.socket(fileno=int(sys.argv[1])), _prepare()).run()


def _prepare() -> TwinlockError | None:
    """Make the process fit for keys and data; why it is not, if so."""
    try:
        harden()
        self_test()
    except TwinlockError as error:
        log.error("%s", error)
        return error
    return None


if __name__ == "__main__":
    main()
