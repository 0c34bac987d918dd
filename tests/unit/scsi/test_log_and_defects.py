"""LOG SENSE, READ DEFECT DATA, REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS: asked of any disk."""

import pytest

from tests.unit.scsi.support import INVALID_FIELD, disk, fault, good, run


def log(page: int, *, subpage: int = 0, flags: int = 0, pointer: int = 0, allocation: int = 0xFF) -> bytes:
    return bytes([0x4D, flags, 0x40 | page, subpage, 0, 0, pointer, 0, allocation, 0])


def test_the_pages() -> None:
    assert good(run(disk(), log(0x00))) == bytes([0x80, 0, 0, 2, 0x00, 0x2F])
    assert good(run(disk(), log(0x00, subpage=0xFF))) == bytes([0xC0, 0xFF, 0, 6, 0, 0, 0, 0xFF, 0x2F, 0])


def test_no_exception_is_pending_and_no_temperature_known() -> None:
    data = good(run(disk(), log(0x2F)))
    assert data == bytes([0xAF, 0, 0, 8, 0, 0, 0x03, 4, 0, 0, 0xFF, 0])


def test_a_page_is_cut_to_the_room_there_is() -> None:
    assert good(run(disk(), log(0x2F, allocation=4))) == bytes([0xAF, 0, 0, 8])
    assert good(run(disk(), log(0x2F, allocation=0))) == b""


@pytest.mark.parametrize(
    ("cdb", "field"),
    [
        (log(0x00, flags=1), (1, 0)),  # SP
        (log(0x0D), (2, 5)),
        (log(0x2F, subpage=1), (3, None)),
        (log(0x2F, pointer=1), (5, None)),
    ],
)
def test_what_is_not_there(cdb: bytes, field: tuple[int, int | None]) -> None:
    found = fault(run(disk(), cdb))
    assert (found.code, found.field) == (INVALID_FIELD, field)


@pytest.mark.parametrize("lists", [0x00, 0x08, 0x10, 0x18])
@pytest.mark.parametrize("form", range(6))
def test_the_defect_lists_are_empty(lists: int, form: int) -> None:
    unit = disk()
    ten = bytes([0x37, 0, lists | form, 0, 0, 0, 0, 0, 32, 0])
    twelve = bytes([0xB7, lists | form, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0])
    assert good(run(unit, ten)) == bytes([0, lists | form, 0, 0])
    assert good(run(unit, twelve)) == bytes([0, lists | form, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize("form", [6, 7])
def test_formats_that_are_none(form: int) -> None:
    assert fault(run(disk(), bytes([0x37, 0, form, 0, 0, 0, 0, 0, 32, 0]))).field == (2, 2)
    assert fault(run(disk(), bytes([0xB7, form, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0]))).field == (1, 2)


def task_management(allocation: int, extended: int = 0) -> bytes:
    return bytes([0xA3, 0x0D, extended, 0, 0, 0, 0, 0, 0, allocation, 0, 0])


def test_the_task_management_functions() -> None:
    """ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET; no queries."""
    unit = disk()
    assert good(run(unit, task_management(255))) == bytes([0b11011010, 0, 0, 0])
    assert good(run(unit, task_management(255, 0x80))) == bytes([0b11011010, 0, 0, 12]) + bytes(12)
    assert good(run(unit, task_management(4, 0x80))) == bytes([0b11011010, 0, 0, 12])


def test_too_little_room_for_the_functions() -> None:
    found = fault(run(disk(), task_management(3)))
    assert (found.code, found.field) == (INVALID_FIELD, (6, None))
