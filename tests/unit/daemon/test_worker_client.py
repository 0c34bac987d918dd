"""The supervisor's end of a worker: real processes, also ones that hang."""

import asyncio
import os
import signal
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


def test_stop_returns_once_the_process_is_gone(tmp_path: Path) -> None:
    async def stop() -> None:
        worker = await start(tmp_path)
        await worker.stop()
        assert worker.has_ended

    asyncio.run(stop())
