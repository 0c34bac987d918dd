"""Verification reads every copy, and what one member cannot read comes from another and is rewritten."""

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, Array, array
from twinlock.block.faulty import FaultyDevice
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import MemberState
from twinlock.errors import DeviceGone, MediumError
from twinlock.units import MIB

DATA = member_layout(SIZE).data_offset
A = b"a" * BLOCK


def written() -> Array:
    made = array()
    made.mirror.write(MIB, A * 4)
    made.mirror.flush()
    for disk in made.disks:
        disk.operations.clear()
    return made


def reads(disk: FaultyDevice) -> list[tuple[int, int]]:
    return [(offset - DATA, length) for kind, offset, length in disk.operations if kind == "r"]


def test_every_member_is_asked() -> None:
    made = written()
    assert bytes(made.mirror.read_medium(MIB, 2 * BLOCK)) == A * 2
    assert [reads(disk) for disk in made.disks] == [[(MIB, 2 * BLOCK)]] * 2


@pytest.mark.parametrize("bad", [0, 1])
def test_a_bad_block_of_either_member_is_put_right(bad: int) -> None:
    made = written()
    made.disks[bad].break_reads(DATA + MIB + BLOCK, BLOCK)
    assert bytes(made.mirror.read_medium(MIB, 4 * BLOCK)) == A * 4
    assert made.notes.repaired == [(bad, MIB + BLOCK, BLOCK)]
    assert bytes(made.disks[bad].read(DATA + MIB + BLOCK, BLOCK)) == A
    assert made.mirror.status().members[bad].state is MemberState.IN_SYNC


def test_different_bad_blocks_on_both() -> None:
    made = written()
    for index, disk in enumerate(made.disks):
        disk.break_reads(DATA + MIB + index * BLOCK, BLOCK)
    assert bytes(made.mirror.read_medium(MIB, 4 * BLOCK)) == A * 4
    assert sorted(made.notes.repaired) == [(0, MIB, BLOCK), (1, MIB + BLOCK, BLOCK)]


def test_a_block_that_is_bad_everywhere() -> None:
    made = written()
    for disk in made.disks:
        disk.break_reads(DATA + MIB + BLOCK, BLOCK)
    with pytest.raises(MediumError) as caught:
        made.mirror.read_medium(MIB, 4 * BLOCK)
    assert caught.value.offset == MIB + BLOCK


def test_a_member_that_is_gone_is_failed() -> None:
    made = written()
    made.disks[1].vanish()
    assert bytes(made.mirror.read_medium(MIB, BLOCK)) == A
    assert made.notes.failed == [1]
    made.disks[0].vanish()
    with pytest.raises(DeviceGone):
        made.mirror.read_medium(MIB, BLOCK)


def test_a_map_that_cannot_be_read_says_that_all_takes_up_room(monkeypatch: pytest.MonkeyPatch) -> None:
    made = written()
    assert made.mirror.allocation(0, MIB) == (MIB, False)

    def fail(*_arguments: object) -> tuple[int, bool]:
        raise MediumError("bad")

    monkeypatch.setattr(FaultyDevice, "allocation", fail)
    assert made.mirror.allocation(0, MIB) == (MIB, True)


@pytest.mark.parametrize("places", [[(0, 1), (1, 2)], [(1, 2), (0, 1)]])
def test_what_takes_up_room_on_any_member_does(places: list[tuple[int, int]]) -> None:
    """Zeros that were written may be a hole on the member that was caught up from another."""
    made = array()
    for disk, (start, length) in zip(made.disks, places, strict=True):
        disk.lower.write(DATA + MIB + start * BLOCK, bytes(length * BLOCK))
    free, offset = [], MIB
    while offset < MIB + 8 * BLOCK:
        length, mapped = made.mirror.allocation(offset, MIB + 8 * BLOCK - offset)
        free += [] if mapped else [(offset - MIB, length)]
        offset += length
    assert free == [(3 * BLOCK, 5 * BLOCK)]
