"""The start of an array: whom it reads, whom it throws out, and whom it does not believe."""

import os
from pathlib import Path

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, UUID, Array, Clock, Notes, array, make, media
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.assembly import judge
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.mirror.superblock import ROLE_FAULTY, ROLE_SPARE, WRITE_MOSTLY
from twinlock.errors import MembersDiverged, MemberUnusable, SpaceExhausted
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
A, B = b"a" * BLOCK, b"b" * BLOCK


# -- whom it reads --------------------------------------------------------------------------------


def test_before_the_start_the_same_member_is_read_as_after_it() -> None:
    """A header that was read from one member and data from another might not belong together."""
    made = Array(media())
    make(made.media)
    for medium, block in zip(made.media, (A, B), strict=True):
        medium.write(DATA, block)
    for first, last in ((0, 1), (1, 0)):
        members = [read_member(made.media[number]) for number in (first, last)]
        judgement = judge(members, expected_uuid=UUID)
        assert bytes(judgement.read(0, BLOCK)) == A
        assert bytes(made.start(first, last).read(0, BLOCK)) == A


def test_before_the_start_a_member_marked_write_mostly_is_read_last() -> None:
    made = Array(media())
    make(made.media)
    for medium, block in zip(made.media, (A, B), strict=True):
        medium.write(DATA, block)
    superblock = read_member(made.media[0]).superblock
    made.media[0].write(4096, superblock.change(devflags=WRITE_MOSTLY).build())
    judgement = judge([read_member(medium) for medium in made.media], expected_uuid=UUID)
    assert bytes(judgement.read(0, BLOCK)) == B
    assert bytes(made.start().read(0, BLOCK)) == B


# -- whom it throws out ---------------------------------------------------------------------------


class Full(MemoryDevice):
    """No room for anything."""

    def write_durable(self, offset: int, data: object) -> None:
        raise SpaceExhausted("No space left on device", offset=offset)


def test_want_of_room_at_the_start_throws_no_member_out() -> None:
    made = array()
    made.mirror.write(0, A)
    made.crash()
    first = made.media[0]
    full = Full(SIZE, BLOCK, path="full")
    full._blocks = dict(made.media[1]._blocks or {})
    full.write(8192, bytes(BLOCK))  # its bitmap is not as the first one's: the start has to write
    members = [read_member(first), read_member(full)]
    with pytest.raises(MemberUnusable, match="No space left"):
        Mirror.assemble(members, expected_uuid=UUID, clock=Clock(), observer=made.notes)
    assert read_member(first).superblock.roles[:2] == (0, 1)
    assert made.notes.failed == []


# -- whom it does not believe ---------------------------------------------------------------------


def replaced(medium: MemoryDevice, number: int) -> MemoryDevice:
    """A new disk added to the array that ``medium`` is of, as ``mdadm --add`` does."""
    new = MemoryDevice(SIZE, BLOCK, path=f"disk{number}")
    new._blocks = dict(medium._blocks or {})
    member = read_member(new)
    roles = list(member.superblock.roles)
    roles[number] = ROLE_SPARE
    member.store_superblock(
        member.superblock.change(roles=tuple(roles), dev_number=number, device_uuid=b"n" * 16)
    )
    return new


@pytest.mark.parametrize("lives", [0, 30])
def test_halves_that_ran_apart_are_told_although_one_of_them_got_a_new_disk(lives: int) -> None:
    made = array()
    made.mirror.write(0, A)
    made.stop()
    made.start(0)
    for _ in range(lives + 1):
        made.mirror.write(4 * MIB, A)
        made.settle()
    made.stop()
    made.start(1)
    made.mirror.write(8 * MIB, B)
    made.stop()
    made.media.append(replaced(made.media[1], 2))
    made.start(1, 2)
    made.settle()
    assert [member.state for member in made.mirror.status().members] == [MemberState.IN_SYNC] * 2
    made.mirror.write(12 * MIB, B)
    made.stop()
    assert read_member(made.media[1]).superblock.roles[:3] == (ROLE_FAULTY, 1, 0)
    for present in ((0, 1), (0, 2), (0, 1, 2)):
        before = [dict(medium._blocks or {}) for medium in made.media]
        with pytest.raises(MembersDiverged):
            made.start(*present)
        assert [medium._blocks for medium in made.media] == before
    assert made.start(1, 2).status().degraded is False


# -- members that become shorter ------------------------------------------------------------------


@pytest.mark.parametrize("meet", ["read", "write", "flush"])
def test_a_file_that_is_cut_while_in_use_is_out_and_never_answers_with_zeros(
    tmp_path: Path, meet: str
) -> None:
    files = [FileDevice.open(tmp_path / name, size=16 * MIB) for name in "ab"]
    make(files)
    notes = Notes()
    mirror = Mirror.assemble(
        [read_member(file) for file in files], expected_uuid=UUID, clock=Clock(), observer=notes
    )
    data = b"x" * MIB
    for offset in range(0, 8 * MIB, MIB):
        mirror.write(offset, data)
    mirror.flush()
    os.truncate(tmp_path / "a", 4 * MIB)
    {
        "read": lambda: mirror.read(7 * MIB, BLOCK),
        "write": lambda: mirror.write(7 * MIB, data),
        "flush": mirror.flush,
    }[meet]()
    assert [member.state for member in mirror.status().members] == [MemberState.FAULTY, MemberState.IN_SYNC]
    assert notes.failed == [0]
    assert [bytes(mirror.read(offset, MIB)) for offset in range(0, 8 * MIB, MIB)] == [data] * 8
    assert (tmp_path / "a").stat().st_size == 4 * MIB
    mirror.close()
