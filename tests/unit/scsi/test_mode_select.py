"""MODE SELECT (6) and (10): what it changes, what it refuses, and who is told."""

import pytest

from tests.unit.scsi.reservations.support import BLOCK, MODE_CHANGED, news
from tests.unit.scsi.support import INVALID_FIELD, NEXUS, SHORT_DATA, A, disk, fault, good, run
from tests.unit.scsi.test_mode_sense import CACHING, CONTROL, ERROR_RECOVERY, EXCEPTIONS, six
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.operations import Flush, Result, Status, Write
from twinlock.wire.scsi_sense import SenseCode

LENGTH_ERROR = (5, 0x1A, 0)
INVALID_PARAMETER = (5, 0x26, 0)
SOFTWARE_PROTECTED = (7, 0x27, 2)
PROTECTED = (7, 0x27, 0)
WRITE = bytes.fromhex("2a000000000000000100")
HEADER_6, HEADER_10 = bytes(4), bytes(8)
PAGE_FORMAT = 0x10


def control(*, swp: bool = False, d_sense: bool = False) -> bytes:
    page = bytearray(CONTROL)
    page[2] |= d_sense << 2
    page[4] |= swp << 3
    return bytes(page)


def select_6(data: bytes, flags: int = PAGE_FORMAT) -> tuple[bytes, bytes]:
    return bytes([0x15, flags, 0, 0, len(data), 0]), data


def select_10(data: bytes, flags: int = PAGE_FORMAT) -> tuple[bytes, bytes]:
    return bytes([0x55, flags, 0, 0, 0, 0, 0, *len(data).to_bytes(2, "big"), 0]), data


def current(unit: LogicalUnit, page: int = 0x0A) -> bytes:
    return good(run(unit, six(page)))[4:]


@pytest.mark.parametrize(
    "data", [select_6(HEADER_6 + control(d_sense=True)), select_10(HEADER_10 + control(d_sense=True))]
)
def test_sense_data_in_descriptor_format(data: tuple[bytes, bytes]) -> None:
    unit = disk()
    assert run(unit, *data) == Result(Status.GOOD, data_out_used=len(data[1]))
    assert current(unit) == control(d_sense=True)
    outcome = run(unit, bytes([0xFF] * 6))
    assert isinstance(outcome, Result)
    assert outcome.sense[0] == 0x72
    good(run(unit, *select_6(HEADER_6 + control())))
    outcome = run(unit, bytes([0xFF] * 6))
    assert isinstance(outcome, Result)
    assert outcome.sense[0] == 0x70


def test_write_protection_flushes_first_and_then_refuses_writes() -> None:
    unit = disk()
    assert isinstance(run(unit, WRITE, BLOCK), Write)
    operation = run(unit, *select_6(HEADER_6 + control(swp=True)))
    assert operation == Flush(16)
    assert isinstance(operation, Flush)
    assert unit.finish(operation) == Result(Status.GOOD, data_out_used=16)
    assert fault(run(unit, WRITE, BLOCK)).code == SOFTWARE_PROTECTED
    assert good(run(unit, six(0x0A)))[2] == 0x90, "WP in the header"
    assert run(unit, *select_6(HEADER_6 + control(swp=True))) == Result(Status.GOOD, data_out_used=16)
    good(run(unit, *select_6(HEADER_6 + control())))
    assert isinstance(run(unit, WRITE, BLOCK), Write)
    assert good(run(unit, six(0x0A)))[2] == 0x10


def test_an_export_that_is_read_only_stays_so() -> None:
    unit = disk(read_only=True)
    run(unit, *select_6(HEADER_6 + control(swp=True)))
    assert fault(run(unit, WRITE, BLOCK)).code == PROTECTED
    good(run(unit, *select_6(HEADER_6 + control())))
    assert fault(run(unit, WRITE, BLOCK)).code == PROTECTED


@pytest.mark.parametrize("end", ["reset", "power_on"])
def test_a_reset_takes_everything_back(end: str) -> None:
    unit = disk()
    run(unit, *select_6(HEADER_6 + control(swp=True, d_sense=True)))
    getattr(unit, end)(SenseCode.BUS_RESET_OCCURRED)
    assert news(unit, NEXUS) == [(6, 0x29, 2)]
    assert current(unit) == CONTROL
    assert isinstance(run(unit, WRITE, BLOCK), Write)


def test_default_values_do_not_follow() -> None:
    unit = disk()
    run(unit, *select_6(HEADER_6 + control(swp=True, d_sense=True)))
    assert good(run(unit, six(0x0A, control=2)))[4:] == CONTROL


def test_the_others_are_told_if_something_changed() -> None:
    unit = disk()
    unit.start(A, bytes(6))
    good(run(unit, *select_6(HEADER_6 + control())))
    assert news(unit, A) == []
    good(run(unit, *select_6(HEADER_6 + control(d_sense=True))))
    assert news(unit, A) == [MODE_CHANGED]
    assert news(unit, NEXUS) == []


def test_all_pages_as_they_are_with_a_block_descriptor() -> None:
    """What MODE SENSE returned may be sent back."""
    unit = disk()
    short = good(run(unit, six(0x3F, dbd=False)))
    good(run(unit, *select_6(bytes(3) + short[3:])))
    llbaa = good(run(unit, bytes([0x5A, 0x10, 0x3F, 0, 0, 0, 0, 0xFF, 0xFF, 0])))
    good(run(unit, *select_10(bytes(4) + llbaa[4:])))
    assert current(unit, 0x3F) == ERROR_RECOVERY + CACHING + CONTROL + EXCEPTIONS


def test_nothing_to_select() -> None:
    unit = disk()
    for flags in (0, PAGE_FORMAT):
        assert run(unit, *select_6(b"", flags)) == Result(Status.GOOD)
        assert run(unit, *select_10(b"", flags)) == Result(Status.GOOD)
    good(run(unit, *select_6(HEADER_6)))


def short_descriptor(blocks: int, length: int = 512) -> bytes:
    return bytes(3) + bytes([8]) + blocks.to_bytes(4, "big") + length.to_bytes(4, "big")


@pytest.mark.parametrize("blocks", [0, 20480, 0xFFFFFFFF])
def test_a_descriptor_that_changes_nothing(blocks: int) -> None:
    good(run(disk(), *select_6(short_descriptor(blocks))))


@pytest.mark.parametrize(
    ("cdb", "field"),
    [
        (select_6(HEADER_6 + CONTROL, 0x11), (1, 0)),  # SP: nothing can be saved
        (select_10(HEADER_10 + CONTROL, 0x11), (1, 0)),
        (select_6(HEADER_6 + CONTROL, 0x00), (1, 4)),  # PF 0: pages of before SCSI-2
    ],
)
def test_refused_cdbs(cdb: tuple[bytes, bytes], field: tuple[int, int]) -> None:
    found = fault(run(disk(), *cdb))
    assert (found.code, found.field) == (INVALID_FIELD, field)


PAGE = HEADER_6 + CONTROL
REFUSED = {
    "the write cache": (HEADER_6 + CACHING[:2] + b"\0" + CACHING[3:], (6, 2)),
    "the busy timeout": (PAGE[:12] + b"\0" + PAGE[13:], (12, 7)),
    "reordering": (PAGE[:7] + b"\0" + PAGE[8:], (7, 4)),
    "a page that is not there": (HEADER_6 + bytes([0x02, 0x0A, *bytes(10)]), (4, 5)),
    "a subpage": (HEADER_6 + bytes([0x4A, 0x01, *bytes(10)]), (4, 5)),
    "a wrong page length": (HEADER_6 + bytes([0x0A, 0x0B, *bytes(11)]), (5, None)),
    "another block length": (short_descriptor(0, 4096), (9, None)),
    "another size": (short_descriptor(7), (4, None)),
    "two descriptors": (bytes([0, 0, 0, 16, *bytes(16)]), (3, None)),
    "the second of two pages": (PAGE + CACHING[:2] + b"\0" + CACHING[3:], (18, 2)),
}


@pytest.mark.parametrize(("data", "pointer"), REFUSED.values(), ids=REFUSED)
def test_refused_parameters_change_nothing(data: bytes, pointer: tuple[int, int | None]) -> None:
    unit = disk()
    outcome = run(unit, *select_6(data))
    found = fault(outcome)
    assert (found.code, found.parameter) == (INVALID_PARAMETER, pointer)
    assert isinstance(outcome, Result)
    assert outcome.data_out_used == len(data)
    assert current(unit) == CONTROL


def test_all_or_nothing() -> None:
    unit = disk()
    wrong = CACHING[:2] + b"\0" + CACHING[3:]
    assert fault(run(unit, *select_6(HEADER_6 + control(swp=True) + wrong))).code == INVALID_PARAMETER
    assert current(unit) == CONTROL
    assert isinstance(run(unit, WRITE, BLOCK), Write)


@pytest.mark.parametrize("length", [1, 3, 5, 6, 15])
def test_a_list_that_is_cut_short(length: int) -> None:
    assert fault(run(disk(), *select_6(PAGE[:length]))).code == LENGTH_ERROR


def test_a_descriptor_that_is_cut_short() -> None:
    assert fault(run(disk(), *select_6(short_descriptor(0)[:11]))).code == LENGTH_ERROR


def test_less_data_than_the_cdb_says() -> None:
    assert fault(run(disk(), select_6(PAGE)[0], PAGE[:-1])).code == SHORT_DATA
