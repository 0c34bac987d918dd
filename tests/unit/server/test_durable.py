"""Names are made durable in one way, by whoever makes them."""

import errno
import os
import stat
from pathlib import Path

import pytest

import twinlock
from twinlock.server.durable import sync_folder

SOURCE = Path(twinlock.__file__).parent


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes that were flushed."""
    inodes: list[int] = []
    fsync = os.fsync

    def watch(number: int) -> None:
        status = os.fstat(number)
        assert stat.S_ISDIR(status.st_mode)
        inodes.append(status.st_ino)
        fsync(number)

    monkeypatch.setattr(os, "fsync", watch)
    return inodes


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_itself_is_flushed_and_closed(kind: type, tmp_path: Path, synced: list[int]) -> None:
    before = os.listdir("/proc/self/fd")
    sync_folder(kind(tmp_path))
    assert synced == [tmp_path.stat().st_ino]
    assert os.listdir("/proc/self/fd") == before


def refuse(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_number: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_a_flush_of_folders_is_trusted(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(number, monkeypatch)
    sync_folder(tmp_path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
def test_a_flush_that_fails_is_told_and_the_folder_let_go_of(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(number, monkeypatch)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match=os.strerror(number)):
        sync_folder(tmp_path)
    assert os.listdir("/proc/self/fd") == before


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")


def test_nobody_flushes_folders_in_a_way_of_its_own() -> None:
    """One of them would forget what the others learnt of file systems."""
    sources = {path.name: path.read_text() for path in SOURCE.rglob("*.py")}
    assert [name for name, text in sources.items() if "O_DIRECTORY" in text and "fsync(" in text] == [
        "durable.py"
    ]
