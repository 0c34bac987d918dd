"""Reads past the page cache really ask the medium, and fall back on advice where they cannot."""

import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from twinlock.block.direct import DirectReader
from twinlock.block.file import FileDevice
from twinlock.block.mounts import MEMORY_FILESYSTEMS, filesystem_of
from twinlock.errors import DeviceGone, MediumError
from twinlock.units import MIB


@pytest.fixture
def device(tmp_path: Path) -> Iterator[FileDevice]:
    made = FileDevice.open(tmp_path / "member", size=4 * MIB)
    made.write(0, os.urandom(4 * MIB))
    made.flush()
    yield made
    made.close()


def fetched() -> int:
    """Bytes that this process had fetched from media (proc_pid_io(5))."""
    found = re.search(r"^read_bytes: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def on_memory(device: FileDevice) -> bool:
    with open(device.path, "rb") as file:
        return filesystem_of(file.fileno()) in MEMORY_FILESYSTEMS


def test_what_the_page_cache_holds_is_fetched_all_the_same(device: FileDevice) -> None:
    device.read(0, MIB)
    before = fetched()
    cached = bytes(device.read(0, MIB))
    assert fetched() == before
    same = bytes(device.read_medium(0, MIB)) == cached
    assert same
    assert fetched() - before >= (0 if on_memory(device) else MIB)


@pytest.mark.parametrize(
    ("offset", "length"), [(512, 512), (3584, 1024), (4096, 4096), (512, MIB), (0, 4 * MIB)]
)
def test_any_aligned_range(device: FileDevice, offset: int, length: int) -> None:
    same = bytes(device.read_medium(offset, length)) == bytes(device.read(offset, length))
    assert same


def test_a_file_may_end_inside_a_page(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"x" * 4096 + b"y" * 1024)
    device = FileDevice.open(tmp_path / "odd")
    assert bytes(device.read_medium(4096, 1024)) == b"y" * 1024
    assert bytes(device.read_medium(0, 5120)) == b"x" * 4096 + b"y" * 1024
    device.close()


def test_a_file_that_was_cut_is_gone(device: FileDevice) -> None:
    os.truncate(device.path, MIB)
    with pytest.raises(DeviceGone):
        device.read_medium(2 * MIB, 512)


def test_errors(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "preadv", fail)
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(MediumError) as caught:
        device.read_medium(1024, 512)
    assert caught.value.offset == 1024


def test_short_reads_are_continued(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, at: preadv(fd, [buffers[0][:8192]], at))
    same = bytes(device.read_medium(0, MIB)) == bytes(device.read(0, MIB))
    assert same


@pytest.mark.parametrize("refused", ["open", "read"])
def test_without_direct_access_pages_are_dropped_first(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    advised: list[tuple[int, int, int]] = []

    def refuse(*_arguments: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    fd = os.open(device.path, os.O_RDONLY)
    monkeypatch.setattr(os, "open" if refused == "open" else "preadv", refuse)
    monkeypatch.setattr(os, "posix_fadvise", lambda _fd, *rest: advised.append(rest))
    reader = DirectReader(fd)
    assert reader.read(512, 512) == bytes(device.read(512, 512))
    assert advised == [(0, 4096, os.POSIX_FADV_DONTNEED)]
    reader.close()
    os.close(fd)


@pytest.mark.parametrize("direct", [True, False])
def test_a_page_that_cannot_be_read_is_no_end_of_the_file(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    """The kernel returns what is before such a page, and its error only to who asks for the page itself."""
    bad = 5 * 4096

    def until(offset: int, length: int) -> int:
        if offset >= bad:
            raise OSError(errno.EIO, "Input/output error")
        return min(length, bad - 512 - offset if direct and offset < bad - 4096 else bad - offset)

    pread, preadv = os.pread, os.preadv

    def read(fd: int, length: int, offset: int) -> bytes:
        return pread(fd, until(offset, length), offset)

    def read_directly(fd: int, buffers: list[memoryview], offset: int) -> int:
        if not direct:
            raise OSError(errno.EINVAL, "Invalid argument")
        return preadv(fd, [buffers[0][: until(offset, len(buffers[0]))]], offset)

    monkeypatch.setattr(os, "pread", read)
    monkeypatch.setattr(os, "preadv", read_directly)
    with pytest.raises(MediumError):
        device.read_medium(0, MIB)
    before = bytes(device.read_medium(0, bad - 4096))
    assert len(before) == bad - 4096, "the member is not gone"


def test_a_disk_is_not_read_beyond_its_end(device: FileDevice) -> None:
    fd = os.open(device.path, os.O_RDONLY)
    reader = DirectReader(fd, limit=8192 + 512)
    assert len(reader.read(8192, 512)) == 512
    reader.close()
    os.close(fd)


def test_what_is_closed_reads_nothing_of_whoever_has_the_descriptor_now(device: FileDevice) -> None:
    device.close()
    with open("/proc/self/status", "rb"), pytest.raises(DeviceGone):
        device.read_medium(0, 512)
