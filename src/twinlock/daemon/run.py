"""``twinlock serve``: the supervisor, its API and its portals, until a signal."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from twinlock.daemon.api import build_api
from twinlock.daemon.folders import Folders
from twinlock.daemon.supervisor import Supervisor
from twinlock.native.process import harden
from twinlock.server import control
from twinlock.server.portal import Portal

GRACE_SECONDS = 5
"""For API requests that are under way when the daemon ends."""

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: stopping has an order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(folders: Folders, portals: Sequence[Portal] | None) -> None:
    """Serve until SIGTERM or SIGINT (all volumes are closed in order), or SIGUSR1 (the workers serve on)."""
    harden()
    asyncio.run(_serve(folders, portals))


async def _serve(folders: Folders, portals: Sequence[Portal] | None) -> None:
    supervisor = Supervisor(folders)
    supervisor.claim()
    try:
        supervisor.bind(portals)
        asked = _signals()
        await supervisor.start()
        api = _Server(
            uvicorn.Config(
                build_api(supervisor),
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        serving = asyncio.create_task(api.serve(sockets=[_api_socket(folders.api_socket)]))
        report = await supervisor.report()
        listening = ", ".join(each.portal for each in report.portals if each.listening)
        log.info("serving on %s; SIGTERM or Ctrl-C stops", listening or "no portal yet")
        which = await asked
        api.should_exit = True
        if which == signal.SIGUSR1:
            supervisor.leave()
        else:
            await supervisor.stop()
        await serving
    finally:
        folders.api_socket.unlink(missing_ok=True)
        supervisor.release()


def _signals() -> asyncio.Future[signal.Signals]:
    """Resolves to the first signal that asks this process to end."""
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[signal.Signals] = loop.create_future()

    def received(number: signal.Signals) -> None:
        if not asked.done():
            asked.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        loop.add_signal_handler(number, received, number)
    return asked


def _api_socket(path: Path) -> socket.socket:
    """Bound before anything may connect, and for its owner only from the first moment."""
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        sock.bind(control.address(path))
    finally:
        os.umask(mask)
    sock.listen()
    return sock
