"""One volume in the supervisor: what it says of itself whatever becomes of its worker."""

import asyncio
import os
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest

from twinlock import errors
from twinlock.daemon.credentials import Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ChapMode, VolumeState
from twinlock.daemon.settings import VolumeTable
from twinlock.daemon.volume import ManagedVolume
from twinlock.daemon.worker_client import WorkerClient
from twinlock.server.messages import MemberStatus, VolumeStatus

OLD_TARGET = "iqn.2026-11.net.example:old"
STATUS = VolumeStatus(
    array=UUID(int=1),
    size=1 << 30,
    block_size=512,
    encrypted=True,
    target=OLD_TARGET,
    clean=True,
    degraded=False,
    members=(MemberStatus(path="/x", state="in sync"),),
    chap=True,
    mutual_chap=False,
    shared=True,
    read_only=False,
    discard=True,
    initiators=(),
    networks=(),
)


class Worker:
    """Stands for a worker process."""

    pid = 1

    def __init__(self) -> None:
        self.has_ended = False
        self.answers = True

    async def status(self) -> VolumeStatus:
        if not self.answers:
            raise self.failure("it does not answer")
        return STATUS

    async def stop(self) -> None:
        raise self.failure("it does not end")

    @staticmethod
    def failure(reason: str) -> errors.WorkerFailed:
        return errors.WorkerFailed(name="backup", reason=reason, log="backup.log")


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    """The worker of an earlier supervisor."""
    made = Worker()

    async def adopt(*_: Any) -> Worker:
        return made

    monkeypatch.setattr(WorkerClient, "adopt", adopt)
    return made


@pytest.fixture
def volume(tmp_path: Path) -> ManagedVolume:
    folders = Folders.locate({"TWINLOCK_ROOT": str(tmp_path)})
    folders.make()
    table = VolumeTable(name="backup", members=("/x", "/y"))
    return ManagedVolume(table, folders, Credentials(folders.secrets), 10.0)


def test_an_adopted_volume_keeps_the_target_it_was_unlocked_with(
    volume: ManagedVolume, worker: Worker
) -> None:
    asyncio.run(volume.adopt())
    assert volume.table.target_name == OLD_TARGET
    assert volume.table.shared
    volume.worker = None
    assert volume.table.target_name == "iqn.2026-11.io.twinlock:backup"


def test_a_worker_that_cannot_say_how_it_was_opened_can_still_be_locked(
    volume: ManagedVolume, worker: Worker
) -> None:
    worker.answers = False
    asyncio.run(volume.adopt())
    assert volume.state is VolumeState.UNLOCKED
    assert volume.settings() == volume.next_settings(), "for want of anything better"
    with pytest.raises(errors.WorkerFailed, match="does not end"):
        asyncio.run(volume.lock())


def test_a_lock_that_took_too_long_ends_locked(volume: ManagedVolume, worker: Worker) -> None:
    asyncio.run(volume.adopt())
    with pytest.raises(errors.WorkerFailed):
        asyncio.run(volume.lock())
    states = [volume.state]
    volume._ended(cast(WorkerClient, worker))
    states.append(volume.state)
    assert states == [VolumeState.UNLOCKED, VolumeState.LOCKED], "unlocked as long as its process lives"


def test_a_worker_that_ends_as_soon_as_it_has_opened_is_a_failure(
    volume: ManagedVolume, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def opened(_passphrase: object) -> Worker:
        worker.has_ended = True
        volume._ended(cast(WorkerClient, worker))  # nobody knows it yet
        return worker

    monkeypatch.setattr(volume, "_open", opened)
    monkeypatch.setattr(volume, "start_without_key", lambda: None)
    volume.configured = volume.configured.model_copy(update={"encrypted": False})
    with pytest.raises(errors.WorkerFailed):
        asyncio.run(volume.unlock(None))
    assert (volume.worker, volume.state) == (None, VolumeState.FAILED)


def test_secrets_changed_while_it_is_unlocked_wait_whoever_changed_them(
    volume: ManagedVolume, worker: Worker
) -> None:
    credentials = volume._credentials
    credentials.make("backup")
    volume._socket.touch()
    os.utime(credentials.path("backup"), (1000, 1000))
    os.utime(volume._socket, (1001, 1001))
    asyncio.run(volume.adopt())
    assert not volume.secrets_wait
    os.utime(credentials.path("backup"), (1002, 1002))
    assert volume.secrets_wait
    assert asyncio.run(volume.report()).secrets_wait
    volume.configured = volume.configured.model_copy(update={"chap": False})
    assert not volume.secrets_wait, "none are asked for from then on"
    volume.configured = volume.configured.model_copy(update={"chap": True})
    volume.worker = None
    assert not volume.secrets_wait, "a locked volume takes them"
    assert volume.next_settings().chap is ChapMode.AUTO


def test_a_worker_that_is_busy_does_not_look_locked(volume: ManagedVolume, worker: Worker) -> None:
    """What it said last is told, with a word that it is old."""

    async def run() -> None:
        volume._take(cast(WorkerClient, worker))
        assert (await volume.report()).open == STATUS
        worker.answers = False
        silent = await volume.report()
        assert (silent.state, silent.open) == (VolumeState.UNLOCKED, STATUS)
        assert "has not said since" in (silent.reason or "")
        worker.answers = True
        assert (await volume.report()).reason is None

    asyncio.run(run())
