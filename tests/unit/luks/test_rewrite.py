"""Headers that lie: a right sum over metadata that make no sense costs neither memory nor a crash."""

import hashlib
import json

import pytest

from tests.support.containers import own_header
from twinlock.luks.backup import restored
from twinlock.luks.copies import BLOCK, copy_blocks, named, slot_blocks, whole_copies

COPY = 16384
SUM = slice(448, 448 + 64)


def with_metadata(metadata: bytes) -> bytes:
    """Our header, whose first copy has other metadata and the sum that belongs to them."""
    header = bytearray(own_header())
    header[4096:COPY] = metadata.ljust(COPY - 4096, b"\0")
    header[SUM] = bytes(64)
    header[SUM] = hashlib.sha256(header[:COPY]).digest().ljust(64, b"\0")
    return bytes(header)


def keyslot(offset: object, size: object) -> bytes:
    return json.dumps({"keyslots": {"0": {"area": {"offset": offset, "size": size}}}}).encode()


def test_other_metadata_are_read() -> None:
    header = with_metadata(keyslot("32768", "4096"))
    assert [copy.place.offset for copy in whole_copies(header)] == [0, COPY]


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"[" * 12000,
        keyslot("x", "1"),
        keyslot(None, "1"),
        keyslot("-8192", "4096"),
        keyslot("0", str(1 << 60)),
        keyslot(str(1 << 60), "4096"),
        b'{"keyslots": []}',
        b'{"keyslots": {"0": {}}}',
    ],
)
def test_a_copy_that_makes_no_sense_is_none(metadata: bytes) -> None:
    header = with_metadata(metadata)
    assert [copy.place.offset for copy in whole_copies(header)] == [COPY]
    assert max(named(whole_copies(header))) < len(header) // BLOCK
    assert list(slot_blocks(header)) == [0]


def test_no_block_beyond_the_end_moves_what_is_before_it() -> None:
    target = bytearray(b"\1" * (2 * BLOCK))
    copy_blocks(target, b"\2" * (BLOCK + 1), (0, 1, 2, 1 << 40))
    assert bytes(target) == b"\2" * BLOCK + b"\1" * BLOCK
    header = with_metadata(keyslot(str(100 << 20), "4096"))
    assert len(restored(header, own_header())) == len(header)
