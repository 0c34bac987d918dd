"""A member that was away is given what is marked, and nothing else: what is read and written is counted."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import Buffer

from tests.unit.block.mirror.changes.test_grow import BLOCK, A, Files
from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.observer import SilentObserver
from twinlock.units import MIB, TIB

SIZE = TIB
LAST = 16318
"""The number of the last chunk; it is not written to here."""


@dataclass
class Counted:
    """Chunks of the array that were read from and written to on one member, and bytes of both."""

    chunk: int
    read: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    bytes: int = 0

    def note(self, chunks: set[int], start: int, length: int) -> None:
        if 0 <= start < LAST * self.chunk:  # behind it is looked for superblocks at the end
            chunks.update(range(start // self.chunk, (start + length - 1) // self.chunk + 1))
            self.bytes += length


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setattr(FileDevice, "allocate", lambda *_: None)  # a gigabyte for checksums
    return Files(tmp_path, SIZE)


def test_one_chunk_in_a_hundred_is_all_that_is_copied(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = files.start()
    chunk = mirror.status().chunk_size
    count = mirror.size // chunk
    assert (chunk, count) == (64 * MIB, LAST + 1)
    common = range(7, count, 100)  # on both, long ago: not to be looked at
    for number in common:
        mirror.write(number * chunk, A)
    mirror.close()
    mirror = files.start(0)
    missed = range(50, count, 100)
    for number in missed:
        mirror.write(number * chunk + 5 * BLOCK, A)
    mirror.close()
    counted = watch(files, chunk, monkeypatch)
    mirror = start(files)
    assert [member.state for member in mirror.status().members] == [
        MemberState.IN_SYNC,
        MemberState.REBUILDING,
    ]
    while mirror.step() < IDLE:
        pass
    assert [member.state for member in mirror.status().members] == [MemberState.IN_SYNC] * 2
    left, right = (counted[str(path)] for path in files.paths)
    assert left.read == right.written == set(missed)
    assert (left.written, right.read) == (set(), set())
    assert right.bytes <= len(missed) * MIB  # of each chunk the piece with data; the rest is a hole on both
    assert left.bytes <= len(missed) * MIB
    mirror.close()


def start(files: Files) -> Mirror:
    members = [read_member(FileDevice.open(path)) for path in files.paths]
    return Mirror.assemble(members, expected_uuid=None, clock=files.clock, observer=SilentObserver())


def watch(files: Files, chunk: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Counted]:
    """Count what happens to the data areas from now on."""
    counted = {str(path): Counted(chunk) for path in files.paths}
    starts = {}
    for path in files.paths:
        device = FileDevice.open(path, writable=False, exclusive=False)
        starts[str(path)] = read_member(device).superblock.header.data_offset * 512
        device.close()
    read, write = FileDevice.read, FileDevice.write

    def note_read(device: FileDevice, offset: int, length: int) -> Buffer:
        each = counted[device.path]
        each.note(each.read, offset - starts[device.path], length)
        return read(device, offset, length)

    def note_write(device: FileDevice, offset: int, data: Buffer) -> None:
        each = counted[device.path]
        each.note(each.written, offset - starts[device.path], memoryview(data).nbytes)
        write(device, offset, data)

    monkeypatch.setattr(FileDevice, "read", note_read)
    monkeypatch.setattr(FileDevice, "write", note_write)
    return counted
