"""Members that come and go for years: their descriptors are closed, but not before the last read ended."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.unit.block.mirror.changes.test_grow import SIZE, A, Files
from twinlock.block.file import FileDevice
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import DeviceGone, WriteFailed


def descriptors(path: Path | str = "/") -> set[int]:
    """The numbers of this process that lead below ``path``."""
    found = set()
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:  # the one of listdir
            continue
        if target.startswith(str(path)):
            found.add(number)
    return found


def remove(mirror: Mirror, _files: Files, path: Path) -> None:
    mirror.remove_member(str(path))


def remove_a_broken_one(mirror: Mirror, _files: Files, path: Path) -> None:
    os.truncate(path, SIZE // 2)  # what is shorter than it was is gone
    mirror.write(0, A)
    mirror.remove_member(str(path))
    os.truncate(path, SIZE)


def replace(mirror: Mirror, files: Files, path: Path) -> None:
    new = FileDevice.open(path.with_name(f"{path.name}+"), size=SIZE)
    mirror.replace_member(str(path), new)
    files.paths[files.paths.index(path)] = Path(new.path)
    files.settle(mirror)


def add_again(mirror: Mirror, _files: Files, path: Path) -> None:
    mirror.fail_member(str(path))
    mirror.add_member(FileDevice.open(path))


@pytest.mark.parametrize("change", [remove, remove_a_broken_one, replace, add_again])
def test_a_member_that_left_costs_no_descriptor(
    change: Callable[[Mirror, Files, Path], None], tmp_path: Path
) -> None:
    files = Files(tmp_path)
    mirror = files.start()
    gc.collect()  # what tests before this one left open is not to be closed while it counts
    before = descriptors()
    for _ in range(3):
        path = files.paths[1]
        change(mirror, files, path)
        if change in (remove, remove_a_broken_one):
            mirror.add_member(FileDevice.open(path))
        files.settle(mirror)
        gc.collect()  # an error refers to the calls that met it, and they to the error
        assert len(descriptors()) == len(before)
    mirror.close()
    assert not descriptors(tmp_path)


def test_a_number_is_not_free_while_a_read_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next file to be opened would have it: the read would answer with what is in there."""
    files = Files(tmp_path)
    mirror = files.start()
    mirror.write(0, A)
    held = descriptors(files.paths[0])
    assert held
    began, go_on = Event(), Event()
    read, found = os.pread, []

    def slow(number: int, length: int, offset: int) -> bytes:
        if number in held:
            began.set()
            assert go_on.wait(30)
        return read(number, length, offset)

    monkeypatch.setattr(os, "pread", slow)
    reader = Thread(target=lambda: found.append(bytes(mirror.read(0, len(A)))))
    reader.start()
    assert began.wait(30)
    mirror.remove_member(str(files.paths[0]))
    assert not descriptors(files.paths[0])
    taken = [os.open("/dev/zero", os.O_RDONLY) for _ in range(4)]
    assert not held & set(taken)
    go_on.set()
    reader.join()
    assert found == [A]
    assert held <= set(descriptors("/dev/null")) or not held & descriptors()
    for number in taken:
        os.close(number)
    mirror.close()


def test_what_was_let_go_of_answers_nobody(tmp_path: Path) -> None:
    device = FileDevice.open(tmp_path / "disk", size=SIZE)
    device.release()
    with pytest.raises(DeviceGone):
        device.read(0, 4096)
    with pytest.raises((DeviceGone, WriteFailed)):
        device.write(0, A)
    del device
    assert not descriptors(tmp_path)
