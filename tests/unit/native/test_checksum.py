"""CRC32C by every way that this machine knows, against published values and an independent library."""

import os

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from twinlock.errors import SelfTestFailed
from twinlock.native import selftest
from twinlock.native._native import lib
from twinlock.native.checksum import BLOCK, EMPTY, ENTRY, UNKNOWN, entries_of, first_wrong

WAYS = sorted({lib.TL_CRC_TABLES, lib.tl_crc_best()})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 511, 4095, 4096, 4097, 12288, 70000])
def test_as_the_library_has_it(way: int, size: int) -> None:
    data = os.urandom(size)
    expected = [crc32c(data[at : at + BLOCK]).to_bytes(4, "little") for at in range(0, size, BLOCK)]
    assert entries_of(data, way=way) == b"".join(expected)
    assert first_wrong(data, b"".join(expected), way=way) is None


@given(st.binary(min_size=1, max_size=3 * BLOCK), st.data())
def test_every_flip_is_found_where_it_is(data: bytes, draw: st.DataObject) -> None:
    entries = entries_of(data)
    bit = draw.draw(st.integers(0, 8 * len(data) - 1))
    rotten = bytearray(data)
    rotten[bit // 8] ^= 1 << bit % 8
    for way in WAYS:
        assert first_wrong(rotten, entries, way=way) == bit // 8 // BLOCK * BLOCK
        known_nothing = bytearray(entries)
        at = bit // 8 // BLOCK * ENTRY
        for nothing in (EMPTY, UNKNOWN):
            known_nothing[at : at + ENTRY] = nothing
            assert first_wrong(rotten, known_nothing, way=way) is None


@pytest.mark.parametrize("value", [0, 1])
def test_a_crc_that_would_say_something_else_is_kept_as_its_complement(value: int) -> None:
    prefix = os.urandom(BLOCK - 4)
    # Four more bytes that make the register what gives this CRC: found by going backwards.
    register = crc32c(prefix) ^ 0xFFFFFFFF
    target = value ^ 0xFFFFFFFF
    table = [_register(byte) for byte in range(256)]
    indices = []
    for _ in range(4):
        index = next(i for i in range(256) if table[i] >> 24 == target >> 24)
        indices.append(index)
        target = (target ^ table[index]) << 8 & 0xFFFFFFFF
    suffix = bytearray()
    for index in reversed(indices):
        suffix.append((register ^ index) & 0xFF)
        register = table[index] ^ register >> 8
    data = prefix + bytes(suffix)
    kept = (value ^ 0xFFFFFFFF).to_bytes(4, "little")
    assert crc32c(data) == value
    for way in WAYS:
        assert entries_of(data, way=way) == kept
        assert first_wrong(data, kept, way=way) is None
        assert first_wrong(bytes(BLOCK), kept, way=way) == 0


def _register(byte: int) -> int:
    """The table of the polynomial 82F63B78 (reflected)."""
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


def test_the_self_test_notices_another_value() -> None:
    selftest.check_checksums()
    with pytest.raises(SelfTestFailed, match="CRC32C"):
        selftest.check_checksums(((bytes(32), 0x8A9136AB),))
