"""``twinlock header backup FILE``, cut off: what stays must not be taken for a backup."""

import os
import resource
import signal
from pathlib import Path

import pytest

from twinlock.cli.commands import header

CONTENT = bytes(range(256)) * 4096
CUTS = (0, 1, 4096, len(CONTENT) // 2, len(CONTENT) - 1)


def _killed_at(size: int, file: Path) -> int:
    """Write the backup in a process that the kernel kills when a file grows beyond ``size`` bytes."""
    child = os.fork()
    if not child:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            header._write(file, CONTENT)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("size", CUTS)
def test_a_kill_leaves_no_part_of_a_backup_under_its_name(size: int, tmp_path: Path) -> None:
    file = tmp_path / "header"
    assert _killed_at(size, file) == -signal.SIGXFSZ
    assert not file.exists() or file.read_bytes() == b""


@pytest.mark.parametrize("size", CUTS)
def test_a_full_disk_leaves_nothing(size: int, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            header._write(tmp_path / "header", CONTENT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_the_content_is_durable_before_it_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts: list[str] = []
    sync, replace = os.fsync, os.replace

    def noted_sync(number: int) -> None:
        acts.append(os.readlink(f"/proc/self/fd/{number}"))
        sync(number)

    def noted_replace(old: str, new: Path) -> None:
        acts.append("named")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_replace)
    file = tmp_path / "header"
    header._write(file, CONTENT)
    draft, named, folder = acts
    assert (draft.endswith(".part"), named, folder) == (True, "named", str(tmp_path))
    assert file.read_bytes() == CONTENT
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "header"
    file.write_bytes(b"somebody else's")
    with pytest.raises(FileExistsError):
        header._write(file, CONTENT)
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"somebody else's"]
