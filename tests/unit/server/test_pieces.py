"""Long ranges in pieces, and the OR of two of them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.server.pieces import PIECE, either, first_difference, pieces, repeated


@given(st.integers(0, 1 << 50), st.integers(0, 5 * PIECE), st.booleans())
def test_pieces_cover_the_range_once_in_order(offset: int, length: int, backwards: bool) -> None:
    found = list(pieces(offset, length, backwards=backwards))
    ordered = found[::-1] if backwards else found
    assert all(0 < size <= PIECE for _, size in found)
    assert [start for start, _ in ordered] == [offset + index * PIECE for index in range(len(found))]
    assert sum(size for _, size in found) == length


@pytest.mark.parametrize("length", [0, 1, 512, 65536, 65537, 200_000])
def test_either(length: int) -> None:
    left, right = os.urandom(length), os.urandom(length)
    same = either(left, memoryview(right)) == bytes(a | b for a, b in zip(left, right, strict=True))
    assert same


@given(st.binary(min_size=1, max_size=100), st.data())
def test_where_two_first_differ(data: bytes, draw: st.DataObject) -> None:
    assert first_difference(data, memoryview(data)) is None
    changed = bytearray(data)
    places = draw.draw(st.sets(st.integers(0, len(data) - 1), min_size=1))
    for at in places:
        changed[at] ^= 1
    assert first_difference(changed, data) == min(places)


def test_what_repeats() -> None:
    assert bytes(repeated(b"abcdef", 2, 3)) == b"cde"
    assert bytes(repeated(b"abcdef", 0, 6)) == b"abcdef"
    assert bytes(repeated(b"ab", 4, 6)) == b"ababab"
