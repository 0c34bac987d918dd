"""The supervisor's end of a worker: start it, adopt it, talk to it, see it end."""

import asyncio
import contextlib
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

from twinlock.errors import TwinlockError, WorkerFailed, rebuild
from twinlock.server import control
from twinlock.server.message import Message
from twinlock.server.messages import (
    PROTOCOL,
    Envelope,
    Event,
    Hello,
    Identity,
    Request,
    Status,
    Stop,
    VolumeStatus,
)

HELLO_SECONDS = 10.0
"""For a worker to say who it is (it imports its modules and tests the cipher first)."""
STATUS_SECONDS = 3.0
"""For a worker to say how the volume is."""
STOP_SECONDS = 60.0
"""For a worker to flush; a slow disk with much to write takes long."""

POLL_SECONDS = 0.02
_MODULE = "twinlock.server.worker"

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
        try:
            with _listen(socket_path) as listening:
                process = _spawn(listening, log_file)
        except OSError as error:
            reason = f"it cannot be started: {error.strerror}"
            raise WorkerFailed(name=name, reason=reason, log=log_file) from error
        try:
            client = cls(name, _connect(socket_path), log_file, process, ended)
        except OSError as error:
            process.kill()
            raise WorkerFailed(name=name, reason="it ended at once", log=log_file) from error
        try:
            await client.hello()
        except BaseException:
            client.leave()
            process.kill()
            raise
        return client

    @classmethod
    async def adopt(
        cls, name: str, socket_path: Path, log_file: Path, ended: Callable[["WorkerClient"], None]
    ) -> "WorkerClient | None":
        """The living worker behind ``socket_path``, or None; one of another protocol is told to end."""
        try:
            sock = _connect(socket_path)
        except (ConnectionRefusedError, FileNotFoundError):
            socket_path.unlink(missing_ok=True)
            return None
        except OSError as error:
            raise WorkerFailed(name=name, reason="it does not answer", log=log_file) from error
        client = cls(name, sock, log_file, None, ended)
        try:
            identity = await client.hello()
            client.pid = identity.pid
            if identity.protocol == PROTOCOL and identity.volume == name:
                return client
        except (TwinlockError, ValueError):
            pass
        log.warning("worker %d of volume %s cannot be adopted; it flushes and ends", client.pid, name)
        await client.terminate()
        client.leave()
        return None

    @property
    def has_ended(self) -> bool:
        """True once the process is gone."""
        return not _lives(self.pid) if self._process is None else self._process.poll() is not None

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

    async def ask_whatever(self, request: Request) -> dict[str, object]:
        """As :meth:`ask`, for who passes the answer on."""
        return await self._exchange(request, None)

    async def tell(self, request: Request, descriptor: int | None = None) -> None:
        """As :meth:`ask`, for requests whose answer is empty."""
        await self._exchange(request, descriptor)

    async def status(self) -> VolumeStatus:
        """How the volume is; raises WorkerFailed."""
        try:
            async with asyncio.timeout(STATUS_SECONDS):
                return await self.ask(Status(), VolumeStatus)
        except TimeoutError as error:
            raise self._failure("it does not answer") from error

    async def stop(self) -> None:
        """End cleanly: sessions told, flushed, marked clean.  Raises WorkerFailed or the worker's error."""
        failure: TwinlockError | None = None
        try:
            async with asyncio.timeout(STOP_SECONDS):
                try:
                    await self.tell(Stop())
                except TwinlockError as error:
                    failure = error
                    self._signal()  # it may be that it only cannot hear us
                await self._gone()
        except TimeoutError as error:
            raise self._failure("it does not end") from error
        if failure is not None:
            raise failure

    async def terminate(self) -> None:
        """Ask by signal, for workers that speak another protocol."""
        self._signal()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._gone()

    def abandon(self) -> None:
        """Let go of a worker that must not live on: it closes what it has opened, and ends."""
        self._signal()
        self.leave()

    def _signal(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            if _is_worker(self.pid):
                os.kill(self.pid, signal.SIGTERM)

    def leave(self) -> None:
        """Let go of the worker; it serves on."""
        self._reader.cancel()
        self._sock.close()
        self._fail_waiting()

    async def wait_for_end(self) -> None:
        """Return once a worker that was left, and holds no volume, has ended (it closes members first)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._gone()

    # -- inside -----------------------------------------------------------------------------------

    def _failure(self, reason: str) -> WorkerFailed:
        return WorkerFailed(name=self.name, reason=reason, log=self._log_file)

    async def _gone(self) -> None:
        """Return once the process has ended; its socket may close earlier."""
        while not self.has_ended:
            await asyncio.sleep(POLL_SECONDS)

    async def _exchange(self, request: Request, descriptor: int | None) -> dict[str, object]:
        number = next(self._numbers)
        future: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._pass(Envelope(id=number, request=request), descriptor)
            return await future
        except OSError as error:
            raise self._failure("it ended") from error
        finally:
            del self._waiting[number]

    async def _pass(self, envelope: Envelope, descriptor: int | None) -> None:
        packet, attached = control.packed(envelope)
        try:
            await self._send(packet, descriptor if attached is None else attached)
        finally:
            if attached is not None:
                os.close(attached)

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
        except Exception as error:
            log.warning("worker of volume %s: %s", self.name, error)
        finally:
            self._sock.close()
            self._fail_waiting()
        await self._gone()
        self._ended(self)

    def _fail_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._failure("it ended, or was left"))

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


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = control.packet_socket()
    try:
        os.fchmod(sock.fileno(), 0o600)  # before it has a name: nobody else ever connects
        sock.bind(control.address(path))
        sock.listen(1)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(path: Path) -> socket.socket:
    sock = control.packet_socket()
    try:
        sock.setblocking(False)  # a worker that hangs, with a full backlog, is an error and no wait
        sock.connect(control.address(path))
    except BaseException:
        sock.close()
        raise
    return sock


def _spawn(listening: socket.socket, log_file: Path) -> subprocess.Popen[bytes]:
    """In a session of its own: a terminal's Ctrl-C is for the supervisor, which stops it in order.

    ``-P``: what lies in the current folder is never imported.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(log_file, flags, 0o600)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, str(listening.fileno()), str(log_file)],
            cwd="/",
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
            umask=0o077,  # its log begins anew as it grows
        )
    finally:
        os.close(descriptor)


def _lives(pid: int) -> bool:
    """A zombie does not: all it had is closed, and only its parent has not asked for it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def _is_worker(pid: int) -> bool:
    """Numbers of processes come again: a signal is for a worker only."""
    try:
        return _MODULE.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def _peer_pid(sock: socket.socket) -> int:
    """The process that called ``listen`` last at the other end (SO_PEERCRED): a worker, as it starts."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    return pid
