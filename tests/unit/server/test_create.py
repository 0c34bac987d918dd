"""What is durable once a volume is made."""

import errno
import os
import stat
from pathlib import Path

import pytest

from twinlock.errors import MemberUnusable
from twinlock.server.create import create_volume
from twinlock.server.messages import Create, Created, VolumeSpec
from twinlock.units import MIB


def create(folder: Path, *names: str, size: int | None = 16 * MIB) -> Created:
    members = tuple(str(folder / name) for name in names)
    spec = VolumeSpec(
        name="backup", members=members, encrypted=False, target="iqn.2026-11.io.twinlock:backup"
    )
    request = Create(spec=spec, size=size, force=False, derivation_lock=str(folder / "lock"))
    return create_volume(request, wanted=lambda: True)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of the folders that were made durable."""
    inodes: list[int] = []
    fsync = os.fsync

    def watch(fd: int) -> None:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            inodes.append(status.st_ino)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watch)
    return inodes


def test_the_names_of_new_files_are_durable(tmp_path: Path, synced: list[int]) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    create(tmp_path, "a/member", "b/member")
    assert synced == [folder.stat().st_ino for folder in folders]


def test_a_folder_of_two_is_synced_once_and_old_files_need_none(tmp_path: Path, synced: list[int]) -> None:
    create(tmp_path, "one", "two")
    assert synced == [tmp_path.stat().st_ino]
    for name in ("three", "four"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(16 * MIB)
    create(tmp_path, "three", "four", size=None)
    assert len(synced) == 1


def fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(_fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)


def test_names_that_cannot_be_made_durable_are_no_volume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, errno.EIO)
    with pytest.raises(MemberUnusable, match="durable"):
        create(tmp_path, "one", "two")
    assert not [path for path in tmp_path.iterdir() if path.name in ("one", "two")]


def test_a_file_system_that_knows_no_fsync_of_folders_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, errno.EINVAL)
    create(tmp_path, "one", "two")
    assert (tmp_path / "one").exists()
