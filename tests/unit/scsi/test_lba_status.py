"""GET LBA STATUS: extents from an address on, as many as there is room for."""

import pytest

from tests.unit.scsi.support import BLOCKS, LBA_OUT_OF_RANGE, disk, fault, good, run
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.operations import BlockStatus, Extent, Result, Status


def ask(block: int, room: int) -> bytes:
    return bytes([0x9E, 0x12, *block.to_bytes(8, "big"), *room.to_bytes(4, "big"), 0, 0])


@pytest.mark.parametrize(
    ("room", "most"), [(0, 1), (8, 1), (24, 1), (39, 1), (40, 2), (8 + 16 * 256, 256), (1 << 20, 256)]
)
def test_at_least_one_extent_is_looked_for(room: int, most: int) -> None:
    assert run(disk(), ask(5, room)) == BlockStatus(5 * 512, (BLOCKS - 5) * 512, most, room)


def test_a_vector() -> None:
    unit = disk()
    operation = run(unit, ask(5, 256))
    assert isinstance(operation, BlockStatus)
    extents = (Extent(5 * 512, 3 * 512, mapped=True), Extent(8 * 512, 16 * 512, mapped=False))
    result = unit.finish(operation, extents)
    assert result.status is Status.GOOD
    expected = "00000024 00000000"
    expected += "0000000000000005 00000003 00 000000" + "0000000000000008 00000010 01 000000"
    assert bytes(result.data_in) == bytes.fromhex(expected)


def test_the_answer_is_cut_to_the_room_there_is() -> None:
    unit = disk()
    operation = run(unit, ask(5, 12))
    assert isinstance(operation, BlockStatus)
    result = unit.finish(operation, (Extent(5 * 512, 512, mapped=True),))
    assert bytes(result.data_in) == bytes.fromhex("00000014 00000000 00000000")


def test_more_blocks_than_a_descriptor_can_count() -> None:
    unit = disk(Geometry(1 << 40))
    assert run(unit, ask(1, 24)) == BlockStatus(512, ((1 << 32) - 1) * 512, 1, 24)


def test_without_discard_all_is_mapped() -> None:
    data = good(run(disk(Geometry(100, discard=False)), ask(7, 24)))
    assert data == bytes.fromhex("00000014 00000000 0000000000000007 0000005d 00 000000")


@pytest.mark.parametrize("block", [BLOCKS, BLOCKS + 1, 1 << 63, (1 << 64) - 1])
def test_beyond_the_end(block: int) -> None:
    assert fault(run(disk(), ask(block, 24))).code == LBA_OUT_OF_RANGE


def test_extents_are_needed() -> None:
    unit = disk()
    operation = run(unit, ask(0, 24))
    assert isinstance(operation, BlockStatus)
    with pytest.raises(ValueError, match="none were given"):
        unit.finish(operation, bytes(24))


def test_a_read_only_disk_answers() -> None:
    assert not isinstance(run(disk(read_only=True), ask(0, 24)), Result)
