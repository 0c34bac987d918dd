"""What is known of an array's data is known when it has grown: wherever it ended, whenever power fails."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.unit.block.arrays import BLOCK, Array, array, make, media
from twinlock.block.checked.device import SPAN, TableState
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.layout import member_layout
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.block.mirror.stack import open_data
from twinlock.units import MIB

SIZE = 20 * MIB + 20 * BLOCK
LARGER = SIZE + 5 * MIB + BLOCK
DATA = member_layout(SIZE).data_offset
OLD = member_layout(SIZE).data_size
A, B = b"a" * BLOCK, b"b" * BLOCK


class PowerCut(Exception):
    """In the middle of a change."""


def made() -> Array:
    """An array that ends inside a page of entries, with data in its last block, and with room for more."""
    array = Array(media(2, SIZE))
    make(array.media)
    array.start()
    array.mirror.write(OLD - 2 * BLOCK, A + B)
    array.settle()
    array.stop()
    enlarge(array, LARGER)
    array.start()
    assert array.mirror.size == OLD
    assert OLD % SPAN
    return array


def enlarge(array: Array, size: int) -> None:
    for number, medium in enumerate(array.media):
        larger = MemoryDevice(size, BLOCK, path=medium.path)
        larger._blocks = medium._blocks
        array.media[number] = larger


def scrub(array: Array) -> ScrubStatus:
    array.mirror.start_scrub()
    while array.mirror.scrub_status.state is ScrubState.RUNNING:
        array.clock.now += 0.1
        array.mirror.step()
    return array.mirror.scrub_status


def rot(array: Array, index: int, place: int) -> None:
    block = bytearray(array.media[index].read(DATA + place, BLOCK))
    block[7] ^= 1
    array.media[index].write(DATA + place, block)


def the_last_blocks_are_checked(array: Array) -> None:
    """What rots right before the old end is found, and put right from the other."""
    rot(array, 1, OLD - BLOCK)
    rot(array, 0, OLD - 2 * BLOCK)
    found = scrub(array)
    assert (found.wrong, found.repaired, found.mismatches, found.lost) == (2, 2, 0, 0)
    for disk in array.disks:
        assert bytes(disk.read(DATA + OLD - 2 * BLOCK, 2 * BLOCK)) == A + B


def test_rot_right_before_the_old_end_is_found_after_a_growth() -> None:
    array = made()
    array.mirror.grow()
    for member in array.mirror._record.members:
        assert member.checked is not None
        assert member.checked.known(OLD - 2 * BLOCK, 2 * BLOCK) == [True, True]
    array.settle()
    the_last_blocks_are_checked(array)
    array.stop()
    array.start()
    the_last_blocks_are_checked(array)


SURVIVES: dict[str, Callable[[int], bool]] = {
    "all of it": lambda _part: True,
    "nothing": lambda _part: False,
    "every other": lambda part: part % 2 == 0,
}


def grow_until(left: int | None) -> tuple[Array, int]:
    """Grow, with power gone before the operation with that number; the array, and how many there were."""
    array, count = made(), 0

    def operation(letter: str, _offset: int, _length: int) -> None:
        nonlocal count
        count += letter != "r"
        if left is not None and count > left:
            raise PowerCut

    for disk in array.disks:
        disk.hook = operation
    with suppress(PowerCut):
        array.mirror.grow()
        array.settle()
    return array, count


KEPT = ["nothing", *(pytest.param(kept, marks=pytest.mark.long) for kept in ("all of it", "every other"))]


@pytest.mark.parametrize("kept", KEPT)
def test_a_power_cut_before_any_operation_of_a_growth_loses_no_checksum(kept: str) -> None:
    for left in range(grow_until(None)[1] + 1):
        array, _ = grow_until(left)
        for disk in array.disks:
            disk.hook = None
            disk.power_cut(SURVIVES[kept])
        array.start()
        for member in array.mirror._record.members:
            assert member.checked is not None
            assert member.checked.known(OLD - 2 * BLOCK, 2 * BLOCK) == [True, True], left
        array.settle()
        the_last_blocks_are_checked(array)
        assert array.notes.lost == []


def test_a_walk_that_a_growth_interrupts_goes_on_where_it_was() -> None:
    array = made()
    array.stop()
    for medium in array.media:
        medium.write(DATA - BLOCK, bytes(BLOCK))
    array.start()
    for _ in range(6):
        array.mirror.step()
    reached = [member.checked.covered for member in array.mirror._record.members if member.checked]
    assert 0 < reached[0] < OLD
    array.mirror.grow()
    assert [m.checked.covered for m in array.mirror._record.members if m.checked] == reached


def test_the_checksum_of_a_short_last_block_is_not_taken_for_that_of_the_whole() -> None:
    made = array(size=8 * MIB)
    made.stop()
    short = [MemoryDevice(medium.size, 512, path=medium.path) for medium in made.media]
    for medium, old in zip(short, made.media, strict=True):
        for place in range(0, medium.size, BLOCK):
            if any(bytes(old.read(place, BLOCK))):
                medium.write(place, old.read(place, BLOCK))
    for medium in short:
        member = read_member(medium)
        bitmap = member.bitmap
        assert bitmap is not None
        size = member.superblock.header.size - 5
        bitmap.header = bitmap.header.replace(sync_size=size)
        member.store_page(bitmap, 0)
        open_data(member, size * 512)  # its table goes with the new superblock, and covers more
        member.store_superblock(member.superblock.change(size=size))
    made.media = short
    made.start()
    end = made.mirror.size
    assert end % BLOCK == 3 * 512
    made.settle()
    made.mirror.write(end - 512, b"e" * 512)
    made.mirror.grow()
    made.settle()
    assert made.mirror.size > end
    for read in (made.mirror.read, made.mirror.read_medium):
        assert bytes(read(end - 512, 1024)) == b"e" * 512 + bytes(512)
    assert made.notes.wrong == []
    assert {m.checked.state for m in made.mirror._record.members if m.checked} == {TableState.ON}
