"""Runs commands in processes that are forked, and so need not import what every command imports.

A command is a process of its own, with its own environment, streams and exit status, as from a
shell; what it imports costs ten times what it does.  :class:`Forker` starts one process that has
imported it all, and that one forks for each command.  Tests of the start itself, of signals and of
terminals run ``twinlock()`` of tests/support/daemon.py instead.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

MAX_REQUEST = 1 << 20
_TREE = Path(__file__).parents[2]


class Forker:
    """The process that forks; it ends with the one that started it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join([str(_TREE), *filter(None, sys.path)])},
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        atexit.register(self.close)

    def run(
        self, arguments: Sequence[str], environ: Mapping[str, str], stdin: bytes, seconds: float
    ) -> subprocess.CompletedProcess[bytes]:
        """``twinlock`` with ``arguments``; raises TimeoutExpired, as subprocess.run does."""
        request = {"arguments": arguments, "environ": dict(environ), "folder": str(Path.cwd())}
        with (
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            given.write(stdin)
            given.seek(0)
            status = self._exchange(json.dumps(request), [given, out, err], seconds)
            command = ["twinlock", *arguments]
            if status is None:
                raise subprocess.TimeoutExpired(command, seconds, _read(out), _read(err))
            return subprocess.CompletedProcess(command, status, _read(out), _read(err))

    def _exchange(self, request: str, streams: Sequence[BinaryIO], seconds: float) -> int | None:
        """The command's exit status; None if it had to be killed for lack of time."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                numbers = [theirs.fileno(), *(stream.fileno() for stream in streams)]
                socket.send_fds(self._socket, [request.encode()], numbers)
            pid = int(ours.recv(MAX_REQUEST))
            ours.settimeout(seconds)
            try:
                return int(ours.recv(MAX_REQUEST))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                return None

    def close(self) -> None:
        """Wait for its end, so that what it used is counted."""
        self._socket.close()
        self._process.wait(60)


def _read(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def serve(requests: socket.socket, main: Callable[[], None]) -> None:
    """Fork for each request, until there is nobody to ask."""
    while True:
        packet, numbers, _, _ = socket.recv_fds(requests, MAX_REQUEST, 4)
        if not packet:
            return
        if os.fork() == 0:
            requests.close()
            _attend(json.loads(packet), socket.socket(fileno=numbers[0]), numbers[1:], main)
        for number in numbers:
            os.close(number)
        _reap()


def _attend(
    request: dict[str, Any], answer: socket.socket, streams: Sequence[int], main: Callable[[], None]
) -> None:
    """Tell the command's number, and its status when it has ended."""
    command = os.fork()
    if command == 0:
        answer.close()
        _become(request, streams, main)
    try:
        answer.send(str(command).encode())
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        answer.send(str(status).encode())
    finally:
        os._exit(0)


def _become(request: dict[str, Any], streams: Sequence[int], main: Callable[[], None]) -> None:
    """Be the command: as ``python -m twinlock.cli.main`` is."""
    status = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["environ"])
        os.chdir(request["folder"])
        sys.argv = ["twinlock", *request["arguments"]]
        status = _status_of(main)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _status_of(main: Callable[[], None]) -> int:
    """The exit status of what ``main`` does."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _start() -> None:
    """Import what any command may need, and wait for requests."""
    from twinlock.cli import alone, main

    assert callable(alone.ask_own_api)
    main.application([])  # imports every command
    gc.freeze()  # so that what is shared with every fork stays shared
    serve(socket.socket(fileno=int(sys.argv[1])), main.main)


if __name__ == "__main__":
    _start()
