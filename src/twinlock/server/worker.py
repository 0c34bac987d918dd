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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import twinlock
from twinlock.errors import InternalError, TwinlockError
from twinlock.native.process import harden, is_dumpable
from twinlock.native.selftest import self_test
from twinlock.server import control
from twinlock.server.create import create_volume
from twinlock.server.messages import (
    PROTOCOL,
    Create,
    Envelope,
    Hello,
    Identity,
    Login,
    Message,
    Open,
    Request,
    Status,
    Stop,
)
from twinlock.server.service import Service

BACKLOG = 4

log = logging.getLogger(__name__)


class Worker:
    """Answers one supervisor at a time; the newest connection counts."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._listening.listen(BACKLOG)  # again: whoever connects is told the process that listened last
        self._supervisor: socket.socket | None = None
        self._service: Service | None = None
        self._running = True
        self._selector = selectors.DefaultSelector()
        self._handlers: dict[type[Any], Callable[[Any, list[int]], Message | None]] = {
            Hello: self._hello,
            Create: self._create,
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
        while self._running:
            for key, _ in self._selector.select():
                key.data()
        if self._service is not None:
            self._service.close()

    def _signalled(self) -> None:
        self._running = False

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
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
            envelope = control.decode(packet)
        except ValueError:  # the end, or a supervisor of another time, which then asks by signal
            if packet:
                log.warning("a message of the supervisor was not understood")
            self._drop_supervisor()
            self._running = self._service is not None
            return
        self._answer(envelope, descriptors)

    def _answer(self, envelope: Envelope, descriptors: list[int]) -> None:
        request = envelope.request
        assert request is not None
        try:
            result = self._handle(request, descriptors)
            reply = Envelope(id=envelope.id, result=result.model_dump(mode="json") if result else {})
        except TwinlockError as error:
            log.warning("%s: %s", request.op, error)
            reply = Envelope(id=envelope.id, error=error.describe())
        except Exception as error:
            log.exception("%s met a bug", request.op)
            reply = Envelope(id=envelope.id, error=InternalError(reason=type(error).__name__).describe())
        try:
            if self._supervisor is not None:
                self._supervisor.send(control.encode(reply))
        except OSError:
            log.warning("the supervisor went away before it had its answer")

    def _handle(self, request: Request, descriptors: list[int]) -> Message | None:
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
        return create_volume(request)

    def _open(self, request: Open, _descriptors: list[int]) -> Message:
        if self._service is None:
            self._service = Service.open(request.spec, request.passphrase, Path(request.derivation_lock))
        return self._service.status()

    def _login(self, request: Login, descriptors: list[int]) -> None:
        sock = socket.socket(fileno=descriptors[0])
        if self._service is None:
            sock.close()
        else:
            self._service.serve(sock, request.first, request.peer)

    def _status(self, _request: Status, _descriptors: list[int]) -> Message:
        assert self._service is not None
        return self._service.status()

    def _stop(self, _request: Stop, _descriptors: list[int]) -> None:
        service, self._service = self._service, None
        self._running = False
        if service is not None:
            service.close()


def _signal_pipe() -> int:
    """A descriptor that becomes readable when the process is asked to end."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


def main() -> None:
    """``python -m twinlock.server.worker FD``: FD is the listening control socket."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    harden()
    self_test()
    Worker(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
