import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.block.mirror import layout
from twinlock.block.mirror.layout import (
    array_size,
    bitmap_bytes,
    bitmap_chunk,
    chunk_count,
    member_layout,
    minimum_member_size,
)
from twinlock.units import GIB, MIB, TIB

SIZES = st.integers(4 * MIB, 64 * TIB)


@given(SIZES)
def test_areas_follow_one_another(size: int) -> None:
    found = member_layout(size)
    assert layout.SUPERBLOCK_OFFSET + layout.SUPERBLOCK_SIZE == layout.BITMAP_OFFSET
    assert found.table_offset - (layout.BITMAP_OFFSET + layout.BITMAP_ROOM) >= MIB
    assert found.table_offset % 4096 == 0
    assert found.data_offset % MIB == 0
    assert found.data_size % 4096 == 0
    assert size - 4096 < found.data_offset + found.data_size <= size


@given(SIZES)
def test_the_table_has_room_for_a_member_of_four_times_the_size(size: int) -> None:
    found = member_layout(size)
    room = found.data_offset - found.table_offset
    assert room >= 4096 + 4 * (4 * size // 4096)
    assert found.table_end <= found.data_offset
    assert found.table_end - found.table_offset >= 4096 + 4 * (size // 4096)


@given(SIZES)
def test_the_bitmap_fits_its_room(size: int) -> None:
    data = member_layout(size).data_size
    if data <= 0:
        return
    chunk = bitmap_chunk(data)
    assert chunk & (chunk - 1) == 0
    assert bitmap_bytes(data, chunk) <= layout.BITMAP_ROOM
    assert (chunk_count(data, chunk) - 1) * chunk < data <= chunk_count(data, chunk) * chunk


@pytest.mark.parametrize(
    ("data", "chunk"),
    [
        (GIB, 4 * MIB),
        (64 * GIB, 4 * MIB),
        (65 * GIB, 8 * MIB),
        (TIB, 64 * MIB),
        (16 * TIB, 64 * MIB),
        (20 * TIB, 128 * MIB),
    ],
)
def test_chunks_as_documented(data: int, chunk: int) -> None:
    assert bitmap_chunk(data) == chunk


def test_the_spare_begins_where_mdadm_puts_a_bad_block_log() -> None:
    assert layout.BITMAP_OFFSET + layout.BITMAP_ROOM == layout.SUPERBLOCK_OFFSET + 80 * 512


@given(st.integers(MIB, TIB))
def test_the_minimum_is_the_minimum(data: int) -> None:
    size = minimum_member_size(data)
    assert member_layout(size).data_size >= data
    assert member_layout(size - 4096).data_size < data


def test_an_array_is_as_large_as_its_smallest_member() -> None:
    assert array_size([GIB, 2 * GIB]) == member_layout(GIB).data_size
