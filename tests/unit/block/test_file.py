import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from twinlock.block import file as file_module
from twinlock.block import kernel
from twinlock.block.file import FileDevice
from twinlock.block.mounts import MEMORY_FILESYSTEMS, filesystem_of
from twinlock.errors import (
    DeviceError,
    DeviceGone,
    MediumError,
    MemberInUse,
    MemberMissing,
    MemberUnusable,
    SpaceExhausted,
    WriteFailed,
)
from twinlock.units import MIB


@pytest.fixture
def device(tmp_path: Path) -> Iterator[FileDevice]:
    made = FileDevice.open(tmp_path / "member", size=4 * MIB)
    yield made
    made.close()


def failing(number: int) -> Any:
    def fail(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


# -- opening --------------------------------------------------------------------------------------


def test_a_path_that_leads_nowhere_becomes_a_sparse_file(tmp_path: Path) -> None:
    device = FileDevice.open(tmp_path / "new", size=1 << 40)
    status = (tmp_path / "new").stat()
    assert (device.size, status.st_size, status.st_blocks) == (1 << 40, 1 << 40, 0)
    assert (device.created, device.is_block, device.logical_block) == (True, False, 512)
    assert status.st_mode & 0o777 == 0o600
    device.close()


def test_a_file_that_is_there_keeps_size_and_contents(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"x" * 5000)
    device = FileDevice.open(tmp_path / "old", size=MIB)
    assert (device.size, device.created) == (4608, False)
    assert bytes(device.read(0, 512)) == b"x" * 512
    device.close()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "it is a folder"),
        (os.mkfifo, "it is a pipe"),
        (lambda path: path.symlink_to("/dev/null"), "it is a character device"),
    ],
)
def test_what_cannot_be_a_member_is_named(tmp_path: Path, make: Any, reason: str) -> None:
    path = tmp_path / "odd"
    make(path)
    with pytest.raises(MemberUnusable, match=reason):
        FileDevice.open(path)


def test_missing_members_and_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(MemberMissing):
        FileDevice.open(tmp_path / "none")
    with pytest.raises(MemberUnusable, match="the folder it should be made in"):
        FileDevice.open(tmp_path / "no" / "where", size=MIB)


def test_permission_is_asked_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "member").touch()
    monkeypatch.setattr(os, "open", failing(errno.EACCES))
    with pytest.raises(MemberUnusable, match="permission denied"):
        FileDevice.open(tmp_path / "member")


def test_a_member_is_held_against_this_process_too(device: FileDevice) -> None:
    with pytest.raises(MemberInUse, match=f"process {os.getpid()} "):
        FileDevice.open(device.path)
    FileDevice.open(device.path, writable=False, exclusive=False).close()
    device.close()
    FileDevice.open(device.path).close()


def test_readers_may_share(tmp_path: Path) -> None:
    (tmp_path / "member").write_bytes(bytes(512))
    first, second = (FileDevice.open(tmp_path / "member", writable=False) for _ in range(2))
    with pytest.raises(MemberInUse):
        FileDevice.open(tmp_path / "member")
    first.close()
    second.close()


def test_a_creation_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "ftruncate", failing(errno.EFBIG))
    with pytest.raises(MemberUnusable, match="too large"):
        FileDevice.open(tmp_path / "new", size=1 << 62)
    assert list(tmp_path.iterdir()) == []


def test_unlink_removes_what_was_created_and_nothing_else(tmp_path: Path) -> None:
    FileDevice.open(tmp_path / "new", size=MIB).unlink()
    (tmp_path / "old").write_bytes(bytes(512))
    FileDevice.open(tmp_path / "old").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


# -- data -----------------------------------------------------------------------------------------


def test_short_reads_and_writes_are_continued(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    pread, pwritev = os.pread, os.pwritev
    monkeypatch.setattr(os, "pread", lambda fd, length, offset: pread(fd, min(length, 700), offset))
    monkeypatch.setattr(
        os,
        "pwritev",
        lambda fd, views, offset, flags: pwritev(fd, [views[0][:300]], offset, flags),
    )
    data = os.urandom(4096)
    device.write(512, data)
    assert bytes(device.read(512, 4096)) == data


def test_a_file_that_was_cut_is_gone_at_the_first_short_read(device: FileDevice) -> None:
    os.truncate(device.path, 1024)
    assert device.read_nowait(512, 1024) is None
    with pytest.raises(DeviceGone) as caught:
        device.read(512, 1024)
    assert caught.value.offset == 1024


def everything(device: FileDevice) -> list[Callable[[], object]]:
    return [
        lambda: device.read(0, 512),
        lambda: device.read_nowait(0, 512),
        lambda: device.write(0, bytes(512)),
        lambda: device.write_durable(0, bytes(512)),
        lambda: device.discard(0, 512),
        device.flush,
    ]


@pytest.mark.parametrize(
    "meet",
    [
        lambda device: device.read(2 * MIB, 512),
        lambda device: device.allocation(2 * MIB, 512),
        lambda device: device.write(device.size - 512, bytes(512)),
        lambda device: device.write_durable(0, bytes(512)),
        lambda device: device.flush(),
    ],
)
def test_a_file_that_was_cut_stays_gone(device: FileDevice, meet: Callable[[FileDevice], object]) -> None:
    device.write(0, b"x" * 4 * MIB)
    os.truncate(device.path, MIB)
    with pytest.raises(DeviceGone, match=r"shorter|before its size"):
        meet(device)
    assert os.stat(device.path).st_size == MIB, "a write would make what was lost read as zeros"
    os.truncate(device.path, 4 * MIB)
    for act in everything(device):
        with pytest.raises(DeviceGone):
            act()


def test_a_file_that_grows_is_still_the_member(device: FileDevice) -> None:
    os.truncate(device.path, 5 * MIB)
    device.write(device.size - 512, b"x" * 512)
    device.flush()
    assert bytes(device.read(device.size - 512, 512)) == b"x" * 512


@pytest.fixture
def disk(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> FileDevice:
    """As a block device would answer, with a size that :func:`pull_out` changes."""
    device.is_block = True
    monkeypatch.setattr(kernel, "device_size", lambda _fd: device.size)
    return device


def pull_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "device_size", lambda _fd: 0)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_was_pulled_out_is_gone(
    disk: FileDevice, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "pwritev", failing(number))
    pull_out(monkeypatch)
    with pytest.raises(DeviceGone) as caught:
        disk.write(1024, bytes(512))
    assert caught.value.offset == 1024
    for act in everything(disk):
        with pytest.raises(DeviceGone):
            act()


def test_no_flush_of_a_disk_that_was_pulled_out_succeeds(
    disk: FileDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.flush()
    pull_out(monkeypatch)
    for _ in range(2):
        with pytest.raises(DeviceGone):
            disk.flush()


def test_a_disk_that_cannot_be_asked_for_its_size_is_gone(
    disk: FileDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "device_size", failing(errno.ENXIO))
    with pytest.raises(DeviceGone):
        disk.flush()


def test_a_disk_is_never_full(disk: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has no room is a volume of thin provisioning: it lost the data, and is still there."""
    monkeypatch.setattr(os, "pwritev", failing(errno.ENOSPC))
    with pytest.raises(WriteFailed):
        disk.write(1024, bytes(512))
    assert bytes(disk.read(1024, 512)) == bytes(512)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EIO, WriteFailed),
        (errno.ENOSPC, SpaceExhausted),
        (errno.EDQUOT, SpaceExhausted),
        (errno.ENODEV, DeviceGone),
        (errno.ENXIO, DeviceGone),
    ],
)
def test_errors_of_writes(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch, number: int, error: type[DeviceError]
) -> None:
    monkeypatch.setattr(os, "pwritev", failing(number))
    for write in (device.write, device.write_durable):
        with pytest.raises(error) as caught:
            write(1024, bytes(512))
        assert caught.value.offset == 1024


def test_errors_of_reads(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pread", failing(errno.EIO))
    monkeypatch.setattr(os, "preadv", failing(errno.EIO))
    for read in (device.read, device.read_nowait):
        with pytest.raises(MediumError):
            read(0, 512)


def test_the_first_failed_flush_is_the_last(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    for _ in range(3):
        with pytest.raises(WriteFailed, match="Input/output error"):
            device.flush()
    assert len(calls) == 1


def test_a_durable_write_has_a_file_description_of_its_own(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[int, int]] = []
    pwritev = os.pwritev

    def watch(fd: int, views: Any, offset: int, flags: int) -> int:
        used.append((fd, flags))
        return pwritev(fd, views, offset, flags)

    monkeypatch.setattr(os, "pwritev", watch)
    device.write(0, bytes(512))
    device.write_durable(0, bytes(512))
    (plain, none), (durable, dsync) = used
    assert plain != durable
    assert (none, dsync) == (0, os.RWF_DSYNC)


def answers_at_once(path: str) -> bool:
    """Whether the file system can tell what is in the page cache, or has nothing but memory."""
    with open(path, "rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(512)], 0, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return filesystem_of(file.fileno()) in MEMORY_FILESYSTEMS
        return True


def test_what_is_in_the_page_cache_needs_no_waiting(device: FileDevice) -> None:
    device.write(0, b"x" * 4096)
    found = device.read_nowait(0, 4096)
    assert (found is not None) is answers_at_once(device.path)
    assert found is None or bytes(found) == b"x" * 4096


def test_what_is_not_in_the_page_cache_is_not_waited_for(device: FileDevice) -> None:
    device.write(0, b"x" * MIB)
    device.flush()
    with open(device.path, "rb") as file:
        only_memory = filesystem_of(file.fileno()) in MEMORY_FILESYSTEMS
        answers = []
        for _ in range(50):  # advice is no order: the kernel may keep pages for a while
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            answers.append(device.read_nowait(0, MIB) is not None)
    assert all(answers) is only_memory
    assert bytes(device.read(0, MIB)) == b"x" * MIB


@pytest.mark.parametrize(("filesystem", "answers"), [("tmpfs", True), ("nfs", False), (None, False)])
def test_where_nowait_is_unknown_only_memory_is_read_inline(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch, filesystem: str | None, answers: bool
) -> None:
    monkeypatch.setattr(os, "preadv", failing(errno.EOPNOTSUPP))
    monkeypatch.setattr(file_module, "filesystem_of", lambda _fd: filesystem)
    for _ in range(2):
        assert (device.read_nowait(0, 512) is not None) is answers


def test_a_member_on_tmpfs() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        device = FileDevice.open(Path(folder) / "member", size=MIB)
        device.write(0, b"y" * 512)
        found = device.read_nowait(0, 512)
        assert found is not None
        assert bytes(found) == b"y" * 512
        device.discard(0, MIB)
        device.close()


def test_a_discard_gives_the_room_back(device: FileDevice) -> None:
    device.write(0, b"x" * MIB)
    device.flush()
    full = os.stat(device.path).st_blocks
    device.discard(0, MIB)
    assert os.stat(device.path).st_blocks < full
    assert bytes(device.read(0, MIB)) == bytes(MIB)


def test_a_discard_that_is_not_supported_is_not_asked_for_again(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def refuse(fd: int, _offset: int, _length: int) -> None:
        calls.append(fd)
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(kernel, "punch_hole", refuse)
    device.discard(0, 4096)
    device.discard(0, 4096)
    assert len(calls) == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EPERM, errno.ETIMEDOUT, errno.EINVAL])
def test_no_data_depend_on_a_discard_that_fails(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    device.write(0, b"x" * 4096)
    assert device.punches_holes
    monkeypatch.setattr(kernel, "punch_hole", failing(number))
    device.discard(0, 4096)
    assert not device.punches_holes
    assert bytes(device.read(0, 4096)) == b"x" * 4096


def test_a_discard_says_that_the_device_is_gone(device: FileDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "punch_hole", failing(errno.ENODEV))
    with pytest.raises(DeviceGone):
        device.discard(0, 4096)


def test_disks_do_not_promise_zeros(disk: FileDevice) -> None:
    assert not disk.punches_holes


def test_allocation_reserves_and_says_when_it_cannot(
    device: FileDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    device.allocate(0, MIB)
    assert os.stat(device.path).st_blocks * 512 >= MIB
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(SpaceExhausted):
        device.allocate(0, MIB)


def test_a_block_device_is_measured_and_discarded_by_ioctl(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[int, bytes]] = []
    answers = {0x80081272: (3 * MIB).to_bytes(8, "little"), 0x1268: (4096).to_bytes(4, "little"), 0x1277: b""}

    def ioctl(_fd: int, request: int, argument: bytes) -> bytes:
        asked.append((request, argument))
        return answers[request]

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    assert kernel.device_size(0) == 3 * MIB
    assert kernel.logical_block(0) == 4096
    kernel.discard_blocks(0, 4096, 8192)
    assert asked[-1] == (0x1277, (4096).to_bytes(8, "little") + (8192).to_bytes(8, "little"))
