"""Long ranges in pieces, and the OR of two of them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.server.pieces import PIECE, either, pieces


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
