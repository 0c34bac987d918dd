"""An array that becomes larger, with members that were made larger."""

import contextlib
from pathlib import Path

import pytest

from tests.unit.block.arrays import UUID
from tests.unit.block.formats import make_array
from twinlock.block.file import FileDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.layout import BITMAP_ROOM
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.observer import SilentObserver
from twinlock.errors import CannotGrow, NotPossibleNow, SpaceExhausted, WriteFailed
from twinlock.units import GIB, MIB, TIB

SIZE = 64 * MIB
BLOCK = 4096
A = b"a" * BLOCK


class Clock:
    now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Files:
    def __init__(self, folder: Path, size: int = SIZE) -> None:
        self.paths = [folder / "left", folder / "right"]
        self.clock = Clock()
        members = [FileDevice.open(path, size=size) for path in self.paths]
        create_array(
            members,
            array_uuid=UUID,
            device_uuids=[b"L" * 16, b"R" * 16],
            name="host:backup",
            now=1,
            assume_clean=True,
        )
        for member in members:
            member.close()

    def start(self, *indices: int) -> Mirror:
        opened = [FileDevice.open(self.paths[index]) for index in indices or (0, 1)]
        members = [read_member(device) for device in opened]
        return Mirror.assemble(members, expected_uuid=UUID, clock=self.clock, observer=SilentObserver())

    def enlarge(self, size: int, *, data: bool = False) -> None:
        for path in self.paths:
            with path.open("r+b") as file:
                file.truncate(size)
                if data:
                    file.seek(size - 4 * MIB)
                    file.write(path.name[:1].encode() * MIB)

    def settle(self, mirror: Mirror) -> None:
        for _ in range(4):
            self.clock.now += 61
            while mirror.step() < IDLE:
                pass


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_holes_are_known_to_agree(files: Files) -> None:
    mirror = files.start()
    before = mirror.size
    mirror.write(0, A)
    files.enlarge(2 * SIZE)
    assert mirror.grow(None) == before + SIZE == mirror.size == mirror.status().size
    assert mirror.status().marked_chunks == 1
    mirror.write(mirror.size - BLOCK, A)
    mirror.close()
    mirror = files.start()
    assert mirror.size == before + SIZE
    assert [bytes(mirror.read(offset, BLOCK)) for offset in (0, mirror.size - BLOCK)] == [A, A]
    assert not mirror.status().dirty
    mirror.close()


def test_what_is_no_hole_is_made_to_agree(files: Files) -> None:
    mirror = files.start()
    files.enlarge(2 * SIZE, data=True)
    mirror.grow(None)
    assert mirror.status().dirty
    files.settle(mirror)
    assert not mirror.status().dirty
    offset = mirror.size - 4 * MIB
    mirror.close()
    copies = []
    for path in files.paths:
        with path.open("rb") as file:
            file.seek(2 * SIZE - 4 * MIB)
            copies.append(file.read(MIB))
    assert copies[0] == copies[1]
    assert offset > 0


def test_only_as_far_as_asked_for(files: Files) -> None:
    mirror = files.start()
    before = mirror.size
    files.enlarge(2 * SIZE)
    assert mirror.grow(before + 5 * MIB + 1) == before + 5 * MIB
    with pytest.raises(CannotGrow):
        mirror.grow(before)
    with pytest.raises(CannotGrow):
        mirror.grow(4 * SIZE)
    assert mirror.grow() == before + SIZE
    assert mirror.grow() == before + SIZE
    mirror.close()


def test_not_while_a_member_is_missing(files: Files) -> None:
    mirror = files.start(0)
    files.enlarge(2 * SIZE)
    with pytest.raises(NotPossibleNow):
        mirror.grow()
    mirror.close()


def test_chunks_double_where_the_bitmap_would_outgrow_its_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileDevice, "allocate", lambda *_: None)  # gigabytes for checksums
    files = Files(tmp_path, 60 * GIB)
    mirror = files.start()
    offsets = [0, 20 * MIB, 30 * GIB]
    for offset in offsets:
        mirror.write(offset, A)
    chunk = mirror.status().chunk_size
    files.enlarge(2 * TIB)
    mirror.grow()
    status = mirror.status()
    assert status.chunk_size > chunk
    bitmap = read_member(FileDevice.open(files.paths[0], writable=False, exclusive=False)).bitmap
    assert bitmap is not None
    assert bitmap.marked() == {offset // status.chunk_size for offset in offsets}
    assert len(bitmap.pages) * BLOCK <= BITMAP_ROOM
    mirror.write(TIB, A)
    mirror.close()
    mirror = files.start()
    assert [member.state for member in mirror.status().members] == [MemberState.IN_SYNC] * 2
    assert bytes(mirror.read(TIB, BLOCK)) == A
    mirror.close()


def test_room_for_checksums_is_taken_before_anything_changes(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = files.start()
    mirror.write(0, A)
    before = mirror.status()
    files.enlarge(2 * SIZE)
    taken = []

    def refuse(device: FileDevice, offset: int, length: int) -> None:
        taken.append((device.path, offset, length))
        raise SpaceExhausted("there is no room")

    with monkeypatch.context() as patch:
        patch.setattr(FileDevice, "allocate", refuse)
        with pytest.raises(CannotGrow, match="checksums"):
            mirror.grow()
    assert taken
    assert mirror.status() == before
    mirror.write(MIB, A)
    assert bytes(mirror.read(0, BLOCK)) == A
    assert mirror.grow() == before.size + SIZE
    mirror.close()


@pytest.mark.parametrize("left", range(4, 14))
def test_the_last_member_that_breaks_in_between_leaves_an_array_that_is_right(
    files: Files, left: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of large chunks, so that the numbers of the chunks change."""
    monkeypatch.setattr(FileDevice, "allocate", lambda *_: None)
    for path in files.paths:
        path.unlink()
    files = Files(files.paths[0].parent, LARGE[0])
    mirror = files.start()
    mirror.write(20 * MIB, A)
    files.enlarge(LARGE[1])
    counted = [left]
    store = FileDevice.write_durable

    def count(device: FileDevice, offset: int, data: bytes) -> None:
        counted[0] -= 1
        if counted[0] < 0:
            raise WriteFailed("worn out", offset=offset)
        store(device, offset, data)

    with monkeypatch.context() as patch, contextlib.suppress(WriteFailed):
        patch.setattr(FileDevice, "write_durable", count)
        mirror.grow()
    mirror.write(40 * GIB, A)
    status = mirror.status()
    chunk = status.chunk_size
    assert {20 * MIB // chunk, 40 * GIB // chunk} <= mirror._intent.known_marked()
    for member in mirror._record.members:
        member.device.close()
    mirror = files.start()
    assert mirror.size >= status.size
    chunk = mirror.status().chunk_size
    assert {20 * MIB // chunk, 40 * GIB // chunk} <= mirror._intent.known_marked()
    assert [bytes(mirror.read(place, BLOCK)) for place in (20 * MIB, 40 * GIB)] == [A, A]
    for member in mirror._record.members:
        member.device.close()


@pytest.mark.parametrize("version", ["1.0", "0.90"])
def test_a_superblock_at_the_end_is_not_lost_there(tmp_path: Path, version: str) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    files = Files(folder)
    members = []
    for path in files.paths:
        path.unlink()
        members.append(FileDevice.open(path, size=SIZE))
    make_array(version, members)
    for device in members:
        device.close()
    mirror = files.start()
    with pytest.raises(CannotGrow, match="end of a member"):
        mirror.refuse_longer_members()
    assert mirror.grow() == mirror.size
    files.enlarge(2 * SIZE)
    with pytest.raises(CannotGrow, match="as long as before"):
        mirror.grow()
    mirror.close()


class PowerCut(Exception):
    """In the middle of a change."""


LARGE = 60 * GIB, 2 * TIB
"""With these the chunks become larger."""
POINTS = [
    *[(SIZE, 2 * SIZE, writes) for writes in (0, 3, 6, 8, 10)],
    *[(*LARGE, writes) for writes in (4, 9, 12)],
    *[pytest.param(SIZE, 2 * SIZE, writes, marks=pytest.mark.long) for writes in range(16)],
    *[pytest.param(*LARGE, writes, marks=pytest.mark.long) for writes in range(32)],
]


@pytest.mark.parametrize(("size", "larger", "writes"), POINTS)
def test_a_crash_at_every_write(
    tmp_path: Path, size: int, larger: int, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileDevice, "allocate", lambda *_: None)  # gigabytes for checksums
    files = Files(tmp_path, size)
    mirror = files.start()
    mirror.write(20 * MIB, A)
    before = mirror.size
    after = before + larger - size
    files.enlarge(larger)
    left = [writes]
    store = FileDevice.write_durable

    def count(device: FileDevice, offset: int, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise PowerCut
        store(device, offset, data)

    with monkeypatch.context() as patch:
        patch.setattr(FileDevice, "write_durable", count)
        with contextlib.suppress(PowerCut):
            mirror.grow()
    for member in mirror._record.members:
        member.device.close()
    mirror = files.start()
    assert mirror.size in (before, after)
    if any(member.state is MemberState.REBUILDING for member in mirror.status().members):
        raise AssertionError("nobody missed anything")
    chunk = mirror.status().chunk_size
    assert 20 * MIB // chunk in mirror._intent.known_marked()
    assert bytes(mirror.read(20 * MIB, BLOCK)) == A
    for member in mirror._record.members:
        member.device.close()
