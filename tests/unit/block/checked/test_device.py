"""A device with checksums against a model: what was written is known, and what rotted is found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlock.block.checked.device import SPAN, CheckedDevice, TableState
from twinlock.block.checked.header import HEADER_SIZE, TableHeader, build_header, digest, parse_header
from twinlock.block.checked.place import TablePlace, entries_bytes
from twinlock.block.checked.table import SHARDS
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.section import Section
from twinlock.errors import ChecksumMismatch, WriteFailed
from twinlock.native.checksum import EMPTY, UNKNOWN, entries_of
from twinlock.units import MIB

BLOCK = 4096
SUPERBLOCK = bytes(4096)
A, B = b"a" * BLOCK, b"b" * BLOCK


def made(
    size: int = 12 * MIB, *, covered: int | None = None, cache_pages: int = 4096
) -> tuple[CheckedDevice, FaultyDevice, int]:
    """A device, the member below it, and where its data begin."""
    room = entries_bytes(size)
    start = room + HEADER_SIZE
    member = FaultyDevice(MemoryDevice(start + size + 512, 512))
    place = TablePlace(member, room, 0, room // 4)
    header = TableHeader(covered=size if covered is None else covered)
    data = Section(member, start, size)
    device = CheckedDevice(data, place, header, superblock=digest(SUPERBLOCK), cache_pages=cache_pages)
    return device, member, start


def flip(member: FaultyDevice, offset: int) -> None:
    sector = bytearray(member.lower.read(offset // 512 * 512, 512))
    sector[offset % 512] ^= 4
    member.lower.write(offset // 512 * 512, sector)


operations = st.lists(
    st.tuples(st.sampled_from("wwwddfr"), st.integers(0, 3 * 1024 - 1), st.integers(1, 4)), max_size=30
)


@settings(deadline=None, max_examples=60)
@given(operations, st.sampled_from([1, 4096]))
def test_entries_follow_what_is_done(steps: list[tuple[str, int, int]], pages: int) -> None:
    device, _member, _start = made(cache_pages=pages)
    model: dict[int, bytes | None] = {}
    for turn, (kind, block, wanted) in enumerate(steps):
        count = min(wanted, 3 * 1024 - block)
        if kind == "w":
            data = bytes([turn + 1]) * BLOCK * count
            device.write(block * BLOCK, data)
            model |= {block + i: data[:BLOCK] for i in range(count)}
        elif kind == "d":
            device.discard(block * BLOCK, count * BLOCK)
            model |= {block + i: None for i in range(count)}
        elif kind == "f":
            device.flush()
        expected = [model.get(block + i) is not None for i in range(count)]
        assert device.known(block * BLOCK, count * BLOCK) == expected
        found = bytes(device.read(block * BLOCK, count * BLOCK))
        assert found == b"".join(model.get(block + i) or bytes(BLOCK) for i in range(count))


@settings(deadline=None, max_examples=40)
@given(st.integers(1020, 1030), st.integers(1, 8), st.integers(0, 8 * BLOCK - 1))
def test_a_flip_is_found_at_its_block(block: int, count: int, where: int) -> None:
    device, member, start = made()
    where %= count * BLOCK
    device.write(block * BLOCK, b"x" * BLOCK * count)
    device.flush()
    flip(member, start + block * BLOCK + where)
    for read in (device.read, device.read_medium):
        with pytest.raises(ChecksumMismatch) as caught:
            read(block * BLOCK, count * BLOCK)
        assert caught.value.offset == block * BLOCK + where // BLOCK * BLOCK
    with pytest.raises(ChecksumMismatch):
        device.read(block * BLOCK + where // 512 * 512, 512)  # a part of the block that rotted
    assert memoryview(device.read_raw(block * BLOCK, BLOCK)).nbytes == BLOCK


def test_entries_outlive_the_device_once_flushed() -> None:
    device, member, start = made()
    device.write(SPAN - BLOCK, A + B)
    device.flush()
    again, _, _ = made()
    again = CheckedDevice(device.lower, device.place, TableHeader(covered=12 * MIB), superblock=b"")
    assert again.known(SPAN - BLOCK, 2 * BLOCK) == [True, True]
    flip(member, start + SPAN)
    assert bytes(again.read(SPAN - BLOCK, BLOCK)) == A
    with pytest.raises(ChecksumMismatch):
        again.read(SPAN, BLOCK)


def test_a_failed_write_leaves_nothing_known() -> None:
    device, member, start = made()
    device.write(0, A + A)
    member.break_writes(start + BLOCK, 512)
    with pytest.raises(WriteFailed):
        device.write(0, B + B)
    assert device.known(0, 2 * BLOCK) == [False, False]


def test_a_page_that_cannot_be_read_says_nothing_and_is_written_anew() -> None:
    device, member, _start = made()
    device.write(0, A)
    device.flush()
    again = CheckedDevice(device.lower, device.place, TableHeader(covered=12 * MIB), superblock=b"")
    member.break_reads(0, 512)
    assert again.known(0, BLOCK) == [False]
    assert bytes(again.read(0, BLOCK)) == A
    again.adopt(0, A)
    again.flush()
    third = CheckedDevice(device.lower, device.place, TableHeader(covered=12 * MIB), superblock=b"")
    assert third.known(0, BLOCK) == [True]


def test_the_last_block_may_be_short() -> None:
    device, member, start = made(size=MIB + 1024)
    device.write(MIB - BLOCK, A + b"e" * 1024)
    assert bytes(device.read(MIB + 512, 512)) == b"e" * 512
    device.flush()
    flip(member, start + MIB + 5)
    with pytest.raises(ChecksumMismatch):
        device.read(MIB + 512, 512)
    with pytest.raises(ValueError, match="whole blocks"):
        device.write(512, b"x" * 512)


def test_above_what_is_covered_nothing_is_known_and_none_is_needed() -> None:
    device, member, start = made(covered=0)
    member.lower.write(0, b"\xee" * 4096)  # what an old table left
    assert device.state is TableState.REBUILDING
    device.write(0, A)
    assert device.known(0, 2 * BLOCK) == [False, False]
    device.cover(entries_of(A) + bytes(4 * 1023))
    assert device.covered == SPAN
    assert device.known(0, 2 * BLOCK) == [True, False]
    device.flush()
    device.persist()
    found = device.place.read_header()
    assert found is not None
    assert found.covered == SPAN
    assert start


def test_binding_names_both_superblocks() -> None:
    device, member, _start = made()
    one, two = b"1" * 4096, b"2" * 4096
    device.bind(one)
    assert member.unflushed == 0
    device.bind(two)
    found = device.place.read_header()
    assert found is not None
    assert (found.written, found.coming) == (digest(one), digest(two))


@settings(max_examples=60)
@given(st.integers(0, 8 * TableHeader.SIZE - 1))
def test_a_damaged_header_is_none(bit: int) -> None:
    page = bytearray(build_header(TableHeader(covered=7, written=b"w" * 32)))
    assert parse_header(page) is not None
    page[bit // 8] ^= 1 << bit % 8
    assert parse_header(page) is None


def test_a_page_that_cannot_be_written_back_is_told_by_the_flush_and_not_by_another_write() -> None:
    device, member, start = made((SHARDS + 1) * SPAN, cache_pages=1)
    device.write(0, A)
    member.break_writes(0, BLOCK)
    device.write(SHARDS * SPAN, B)  # whose entry would have the other's room
    assert device.known(SHARDS * SPAN, BLOCK) == device.known(0, BLOCK) == [True]
    assert bytes(member.read(start + SHARDS * SPAN, BLOCK)) == B
    with pytest.raises(WriteFailed):
        device.flush()


def test_checksums_are_gone_before_a_discard_begins() -> None:
    device, member, start = made()
    device.write(0, A + B)
    seen: list[list[bool]] = []
    member.hook = lambda kind, offset, _length: (
        seen.append(device.known(0, 2 * BLOCK)) if (kind, offset) == ("d", start) else None
    )
    device.discard(0, 2 * BLOCK)
    assert seen == [[False, False]]


def test_a_read_with_entries_verifies_and_names_those_that_were_unknown() -> None:
    device, member, start = made()
    device.write(0, A + B + A)
    device.forget(2 * BLOCK, BLOCK)
    data, entries = device.read_with_entries(0, 3 * BLOCK)
    assert bytes(data) == A + B + A
    assert entries == entries_of(A + B + A)
    device.flush()
    flip(member, start + BLOCK + 7)
    with pytest.raises(ChecksumMismatch) as found:
        device.read_with_entries(0, 3 * BLOCK)
    assert found.value.offset == BLOCK


def test_entries_that_are_known_already_are_kept_as_they_are_and_dropped_with_a_failed_write() -> None:
    device, member, start = made()
    device.write_with_entries(SPAN - BLOCK, A + B, entries_of(A + B))
    assert bytes(device.read(SPAN - BLOCK, 2 * BLOCK)) == A + B
    assert device.entries(SPAN - BLOCK, 2 * BLOCK) == entries_of(A + B)
    member.break_writes(start + SPAN, BLOCK)
    with pytest.raises(WriteFailed):
        device.write_with_entries(SPAN - BLOCK, B + A, entries_of(B + A))
    assert device.known(SPAN - BLOCK, 2 * BLOCK) == [False, False]


def test_data_end_anywhere_in_a_page_of_entries_and_what_is_known_stays_so() -> None:
    device, member, start = made(covered=SPAN + 3 * BLOCK)
    member.lower.write(entries_bytes(SPAN), b"\xee" * BLOCK)  # above what is covered: what an old table left
    assert device.covered == SPAN + 3 * BLOCK
    device.write(SPAN, A + B + A + B)
    assert device.known(SPAN, 4 * BLOCK) == [True, True, True, False]
    device.flush()
    device.persist()
    found = device.place.read_header()
    assert found is not None
    assert found.covered == SPAN + 3 * BLOCK
    again = CheckedDevice(device.lower, device.place, found, superblock=b"")
    again.cover(entries_of(B) + bytes(BLOCK - 4))
    assert again.covered == SPAN + 3 * BLOCK + SPAN
    assert again.known(SPAN, 5 * BLOCK) == [True, True, True, True, False]
    flip(member, start + SPAN + 2 * BLOCK)
    with pytest.raises(ChecksumMismatch):
        again.read(SPAN, 4 * BLOCK)


def test_what_is_empty_and_what_is_not_known_are_two_things() -> None:
    device, member, start = made(covered=SPAN)
    device.write(0, A + A)
    device.discard(0, BLOCK)
    member.break_writes(start + BLOCK, 512)
    with pytest.raises(WriteFailed):
        device.write(BLOCK, B)
    assert device.entries(0, 3 * BLOCK) == EMPTY + UNKNOWN + EMPTY
    assert device.entries(SPAN, BLOCK) == UNKNOWN, "above what is covered nobody can tell"
    device.flush()
    again = CheckedDevice(device.lower, device.place, TableHeader(covered=SPAN), superblock=b"")
    member.break_reads(0, 512)
    assert again.entries(0, BLOCK) == UNKNOWN, "its page cannot be read"
    assert bytes(again.read(0, BLOCK)) == bytes(BLOCK)


def test_a_header_that_rots_is_noticed_and_put_back() -> None:
    device, member, start = made()
    assert device.holds_header(), "there is none yet"
    device.bind(b"1" * 4096)
    assert device.holds_header()
    flip(member, start - HEADER_SIZE + 90)
    assert not device.holds_header()
    assert device.place.read_header() is None
    device.persist()
    assert device.holds_header()
    found = device.place.read_header()
    assert found is not None
    assert (found.written, found.coming) == (digest(SUPERBLOCK), digest(b"1" * 4096))
