"""The supervisor's end of a worker: real processes, also ones that hang."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twinlock import errors
from twinlock.daemon import worker_client
from twinlock.daemon.worker_client import WorkerClient


async def start(folder: Path) -> WorkerClient:
    return await WorkerClient.start("backup", folder / "w.sock", folder / "backup.log", lambda _worker: None)


def test_a_worker_that_hangs_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_client, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(worker_client, "STATUS_SECONDS", 0.5)

    async def hang() -> None:
        worker = await start(tmp_path)
        os.kill(worker.pid, signal.SIGSTOP)
        started = time.monotonic()
        for ask in (worker.status, worker.stop):
            with pytest.raises(errors.WorkerFailed):
                await ask()
        assert time.monotonic() - started < 10
        os.kill(worker.pid, signal.SIGKILL)

    asyncio.run(hang())


def test_a_worker_that_is_left_without_a_volume_ends(tmp_path: Path) -> None:
    async def leave() -> WorkerClient:
        worker = await start(tmp_path)
        worker.leave()
        return worker

    worker = asyncio.run(leave())
    until = time.monotonic() + 20
    while not worker.has_ended:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_what_a_worker_makes_is_for_its_owner_only(tmp_path: Path) -> None:
    async def look() -> tuple[int, str]:
        worker = await start(tmp_path)
        try:
            mode = (tmp_path / "w.sock").stat().st_mode & 0o777
            return mode, Path(f"/proc/{worker.pid}/status").read_text()
        finally:
            await worker.stop()

    mode, status = asyncio.run(look())
    assert mode == 0o600
    assert "Umask:\t0077" in status, "its log begins anew when it is long"


def test_stop_returns_once_the_process_is_gone(tmp_path: Path) -> None:
    async def stop() -> None:
        worker = await start(tmp_path)
        await worker.stop()
        assert worker.has_ended

    asyncio.run(stop())


OLD_WORKER = """
import sys
from twinlock.server import messages, worker
worker.PROTOCOL = messages.PROTOCOL - 1
worker.main()
"""
"""A worker of an earlier version: it says so, and knows SIGTERM."""


def start_old_worker(folder: Path) -> subprocess.Popen[bytes]:
    listening = worker_client._listen(folder / "w.sock")
    with listening:
        return subprocess.Popen(
            [sys.executable, "-c", OLD_WORKER, str(listening.fileno()), str(folder / "w.log"), MODULE],
            pass_fds=[listening.fileno()],
        )


MODULE = worker_client._MODULE
"""By which a process is known for a worker."""


def adopt(folder: Path) -> WorkerClient | None:
    async def run() -> WorkerClient | None:
        found = await WorkerClient.adopt("backup", folder / "w.sock", folder / "w.log", lambda _worker: None)
        if found is not None:
            found.leave()
        return found

    return asyncio.run(run())


def test_a_worker_of_another_protocol_is_told_to_flush_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    real = os.kill

    def kill(pid: int, number: int) -> None:
        told.append(number)
        real(pid, number)

    monkeypatch.setattr(os, "kill", kill)
    with start_old_worker(tmp_path) as process:
        assert adopt(tmp_path) is None
        assert process.wait(20) == 0, "in order, not killed"
    assert told == [signal.SIGTERM]


def test_a_zombie_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert worker_client._lives(process.pid)
        process.kill()
        until = time.monotonic() + 20
        while worker_client._lives(process.pid):
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(process.pid, 0)  # its number is there until somebody asks how it ended
    assert not worker_client._lives(process.pid)
