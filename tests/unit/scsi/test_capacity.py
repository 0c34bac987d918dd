"""READ CAPACITY (10) and (16)."""

import pytest

from tests.unit.scsi.support import INVALID_FIELD, B, disk, fault, good, run
from twinlock.scsi.geometry import Geometry

TEN = bytes([0x25]) + bytes(9)


def sixteen(allocation: int = 32) -> bytes:
    return bytes([0x9E, 0x10]) + bytes(8) + allocation.to_bytes(4, "big") + bytes(2)


@pytest.mark.parametrize(
    ("blocks", "last"),
    [
        (1, 0),
        (20480, 20479),
        (0xFFFFFFFF, 0xFFFFFFFE),
        (0x100000000, 0xFFFFFFFF),
        (0x100000001, 0xFFFFFFFF),
        (1 << 40, 0xFFFFFFFF),
    ],
)
def test_ten(blocks: int, last: int) -> None:
    data = good(run(disk(Geometry(blocks)), TEN))
    assert data == last.to_bytes(4, "big") + (512).to_bytes(4, "big")


def test_sixteen() -> None:
    data = good(run(disk(Geometry(1 << 40)), sixteen()))
    assert data[:12] == ((1 << 40) - 1).to_bytes(8, "big") + (512).to_bytes(4, "big")
    assert data[12:16] == bytes([0, 3, 0x80, 0])  # eight blocks make a physical one; LBPME, not LBPRZ
    assert data[16:] == bytes(16)


def test_sixteen_with_4096_byte_blocks_and_no_discard() -> None:
    data = good(run(disk(Geometry(10, 4096, discard=False)), sixteen()))
    assert data[8:16] == bytes([0, 0, 0x10, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("allocation", [*range(16), 31, 32, 33, 0xFFFFFFFF])
def test_allocation_length_cuts(allocation: int) -> None:
    unit = disk()
    assert good(run(unit, sixteen(allocation))) == good(run(unit, sixteen()))[:allocation]


def test_an_address_without_pmi_is_refused() -> None:
    unit = disk()
    assert fault(run(unit, bytes([0x25, 0, 0, 0, 0, 1, 0, 0, 0, 0]))).field == (2, None)
    assert good(run(unit, bytes([0x25, 0, 0, 0, 0, 1, 0, 0, 1, 0])))
    found = fault(run(unit, bytes([0x9E, 0x10, *bytes(7), 1, 0, 0, 0, 32, 0, 0])))
    assert found.code == INVALID_FIELD


def test_resize_is_told_once_to_each_initiator_that_knows_the_disk() -> None:
    unit = disk()
    unit.resize(40960)
    assert fault(run(unit, bytes(6))).code == (6, 0x2A, 9)
    assert good(run(unit, TEN))[:4] == (40959).to_bytes(4, "big")
    assert unit.geometry == Geometry(40960)
    assert fault(unit.start(B, bytes(6))).code == (6, 0x29, 0)
    assert good(unit.start(B, bytes(6))) == b""
