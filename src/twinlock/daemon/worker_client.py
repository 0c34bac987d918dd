"""The supervisor's end of a worker: start it, adopt it, talk to it, see it end."""

import asyncio
import errno
import itertools
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twinlock.errors import WorkerFailed, rebuild
from twinlock.server import control
from twinlock.server.messages import (
    PROTOCOL,
    Envelope,
    Event,
    Hello,
    Identity,
    Message,
    Request,
    Status,
    Stop,
    VolumeStatus,
)

HELLO_SECONDS = 10.0
"""For a worker to say who it is (it imports its modules and tests the cipher first)."""
STOP_SECONDS = 60.0
"""For a worker to flush; a slow disk with much to write takes long."""

_M = TypeVar("_M", bound=Message)
log = logging.getLogger(__name__)


class WorkerClient:
    """One worker process, whoever started it."""

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        log_file: Path,
        process: subprocess.Popen[bytes] | None,
        ended: Callable[["WorkerClient"], None],
    ) -> None:
        self.name = name
        self.pid = _peer_pid(sock) if process is None else process.pid
        self._sock = sock
        self._log_file = log_file
        self._process = process
        self._ended = ended
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, object]]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls, name: str, socket_path: Path, log_file: Path, ended: Callable[["WorkerClient"], None]
    ) -> "WorkerClient":
        """Start a worker that listens at ``socket_path``; raises WorkerFailed."""
        socket_path.unlink(missing_ok=True)
        with control.packet_socket() as listening:
            listening.bind(control.address(socket_path))
            listening.listen(4)
            process = _spawn(listening, log_file)
        client = cls(name, _connect(socket_path), log_file, process, ended)
        await client.hello()
        return client

    @classmethod
    async def adopt(
        cls, name: str, socket_path: Path, log_file: Path, ended: Callable[["WorkerClient"], None]
    ) -> "WorkerClient | None":
        """The living worker behind ``socket_path``, or None; one of another protocol is told to end."""
        try:
            sock = _connect(socket_path)
        except OSError:
            socket_path.unlink(missing_ok=True)
            return None
        client = cls(name, sock, log_file, None, ended)
        try:
            identity = await client.hello()
            if identity.protocol == PROTOCOL and identity.volume == name:
                return client
        except (WorkerFailed, ValueError):
            pass
        log.warning("worker %d of volume %s cannot be adopted; it flushes and ends", client.pid, name)
        await client.terminate()
        return None

    async def hello(self) -> Identity:
        """Who the worker is; raises WorkerFailed."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                return await self.ask(Hello(), Identity)
        except TimeoutError as error:
            raise self._failure("it does not answer") from error

    async def ask(self, request: Request, kind: type[_M], descriptor: int | None = None) -> _M:
        """Send a request and wait for its answer; raises what the worker raised, or WorkerFailed."""
        return kind.model_validate(await self._exchange(request, descriptor))

    async def tell(self, request: Request, descriptor: int | None = None) -> None:
        """As :meth:`ask`, for requests whose answer is empty."""
        await self._exchange(request, descriptor)

    async def status(self) -> VolumeStatus:
        """How the volume is."""
        return await self.ask(Status(), VolumeStatus)

    async def stop(self) -> None:
        """End cleanly: sessions told, flushed, marked clean.  Raises WorkerFailed if that did not happen."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.tell(Stop())
                await self._gone()
        except TimeoutError as error:
            raise self._failure("it does not end") from error

    async def terminate(self) -> None:
        """Ask by signal, for workers that speak another protocol."""
        try:
            os.kill(self.pid, signal.SIGTERM)
            async with asyncio.timeout(STOP_SECONDS):
                await self._gone()
        except (ProcessLookupError, TimeoutError):
            pass

    def leave(self) -> None:
        """Let go of the worker; it serves on."""
        self._reader.cancel()
        self._sock.close()

    # -- inside -----------------------------------------------------------------------------------

    def _failure(self, reason: str) -> WorkerFailed:
        return WorkerFailed(name=self.name, reason=reason, log=self._log_file)

    async def _gone(self) -> None:
        await asyncio.wait([self._reader])
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    async def _exchange(self, request: Request, descriptor: int | None) -> dict[str, object]:
        number = next(self._numbers)
        future: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send(control.encode(Envelope(id=number, request=request)), descriptor)
            return await future
        except OSError as error:
            raise self._failure("it ended") from error
        finally:
            del self._waiting[number]

    async def _send(self, packet: bytes, descriptor: int | None) -> None:
        while True:
            try:
                socket.send_fds(self._sock, [packet], [] if descriptor is None else [descriptor])
                return
            except BlockingIOError:
                await asyncio.sleep(0.05)  # the worker is busy with a key derivation, and its queue is full

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while packet := await loop.sock_recv(self._sock, control.MAX_MESSAGE):
                self._received(control.decode(packet))
        except (OSError, ValueError) as error:
            log.warning("worker of volume %s: %s", self.name, error)
        self._sock.close()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._failure("it ended"))
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        self._ended(self)

    def _received(self, envelope: Envelope) -> None:
        if envelope.event is not None:
            _report(self.name, envelope.event)
            return
        future = self._waiting.get(envelope.id)
        if future is None or future.done():
            return
        if envelope.error is not None:
            future.set_exception(rebuild(envelope.error))
        else:
            future.set_result(envelope.result or {})


def _report(name: str, event: Event) -> None:
    log.warning("volume %s: %s: %s", name, event.kind, event.text)


def _connect(path: Path) -> socket.socket:
    sock = control.packet_socket()
    try:
        sock.connect(control.address(path))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _spawn(listening: socket.socket, log_file: Path) -> subprocess.Popen[bytes]:
    """In a session of its own: a terminal's Ctrl-C is for the supervisor, which stops it in order."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(log_file, flags, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "twinlock.server.worker", str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, str(error))
        raise WorkerFailed(
            name=log_file.stem, reason=f"it cannot be started: {reason}", log=log_file
        ) from error
    finally:
        os.close(descriptor)


def _peer_pid(sock: socket.socket) -> int:
    """The process that called ``listen`` last at the other end (SO_PEERCRED): a worker, as it starts."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid
