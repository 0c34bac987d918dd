"""MODE SENSE (6) and (10), and the pages."""

import pytest

from tests.unit.scsi.support import INVALID_FIELD, disk, fault, good, run
from twinlock.scsi.geometry import Geometry

CACHING = bytes([0x08, 0x12, 0x04]) + bytes(17)
CONTROL = bytes([0x0A, 0x0A, 0x02, 0x10, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0])
ERROR_RECOVERY = bytes([0x01, 0x0A, 0x40]) + bytes(9)
EXCEPTIONS = bytes([0x1C, 0x0A, 0x08]) + bytes(9)


def six(page: int, *, control: int = 0, dbd: bool = True, allocation: int = 255, subpage: int = 0) -> bytes:
    return bytes([0x1A, dbd << 3, control << 6 | page, subpage, allocation, 0])


def ten(page: int, *, flags: int = 0x08, allocation: int = 0xFFFF) -> bytes:
    return bytes([0x5A, flags, page, 0, 0, 0, 0, *allocation.to_bytes(2, "big"), 0])


@pytest.mark.parametrize(
    ("page", "pages"),
    [
        (0x01, ERROR_RECOVERY),
        (0x08, CACHING),
        (0x0A, CONTROL),
        (0x1C, EXCEPTIONS),
        (0x3F, ERROR_RECOVERY + CACHING + CONTROL + EXCEPTIONS),
    ],
)
def test_current_and_default_values(page: int, pages: bytes) -> None:
    unit = disk()
    expected = bytes([3 + len(pages), 0, 0x10, 0]) + pages
    assert good(run(unit, six(page))) == expected
    assert good(run(unit, six(page, control=2))) == expected
    assert good(run(unit, six(page, subpage=0xFF))) == expected
    assert good(run(unit, ten(page))) == bytes([0, 6 + len(pages), 0, 0x10, 0, 0, 0, 0]) + pages


def test_only_the_format_of_sense_data_and_write_protection_are_changeable() -> None:
    data = good(run(disk(), six(0x3F, control=1)))[4:]
    assert data[:12] == b"\x01\x0a" + bytes(10)
    assert data[12:32] == b"\x08\x12" + bytes(18)
    assert data[32:44] == b"\x0a\x0a\x04\0\x08" + bytes(7)
    assert data[44:] == b"\x1c\x0a" + bytes(10)


def test_nothing_is_saved() -> None:
    assert fault(run(disk(), six(0x3F, control=3))).code == (5, 0x39, 0)


def test_short_block_descriptor() -> None:
    data = good(run(disk(), six(0x08, dbd=False)))
    assert data[:4] == bytes([3 + 8 + 20, 0, 0x10, 8])
    assert data[4:12] == (20480).to_bytes(4, "big") + bytes([0, 0, 2, 0])
    assert data[12:] == CACHING


def test_short_block_descriptor_of_a_large_disk() -> None:
    data = good(run(disk(Geometry(1 << 33, 4096)), six(0x08, dbd=False)))
    assert data[4:12] == bytes([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0x10, 0])


def test_long_block_descriptor_only_with_llbaa() -> None:
    unit = disk(Geometry(1 << 33))
    data = good(run(unit, ten(0x0A, flags=0x10)))
    assert data[:8] == bytes([0, 6 + 16 + 12, 0, 0x10, 1, 0, 0, 16])
    assert data[8:24] == (1 << 33).to_bytes(8, "big") + bytes([0, 0, 0, 0, 0, 0, 2, 0])
    short = good(run(unit, ten(0x0A, flags=0)))
    assert short[:8] == bytes([0, 6 + 8 + 12, 0, 0x10, 0, 0, 0, 8])


@pytest.mark.parametrize("allocation", [0, 1, 4, 24, 255])
def test_allocation_length_cuts_but_the_length_field_stays(allocation: int) -> None:
    unit = disk()
    assert good(run(unit, six(0x3F, allocation=allocation))) == good(run(unit, six(0x3F)))[:allocation]


@pytest.mark.parametrize(
    ("cdb", "field"),
    [
        (six(0x02), (2, 5)),
        (six(0x1A), (2, 5)),
        (six(0x0A, subpage=5), (3, None)),
        (six(0x3F, subpage=1), (3, None)),
        (ten(0x2A), (2, 5)),
    ],
)
def test_pages_that_are_not_there(cdb: bytes, field: tuple[int, int | None]) -> None:
    found = fault(run(disk(), cdb))
    assert found.code == INVALID_FIELD
    assert found.field == field


def test_a_write_protected_disk_says_so() -> None:
    unit = disk(read_only=True)
    assert good(run(unit, six(0x3F)))[2] == 0x90
    assert good(run(unit, ten(0x3F)))[3] == 0x90
