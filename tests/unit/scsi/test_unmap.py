"""UNMAP: the parameter list is judged as a whole before anything is given back."""

import pytest

from tests.unit.scsi.support import BLOCKS, INVALID_OPCODE, LBA_OUT_OF_RANGE, SHORT_DATA, disk, fault, run
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.operations import GOOD, Discard, Result, Status

LIST_LENGTH = (5, 0x1A, 0)
LIST_FIELD = (5, 0x26, 0)


def unmap(length: int, *, anchor: bool = False) -> bytes:
    return bytes([0x42, anchor, 0, 0, 0, 0, 0, *length.to_bytes(2, "big"), 0])


def parameters(*ranges: tuple[int, int]) -> bytes:
    body = b"".join(lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4) for lba, count in ranges)
    return (6 + len(body)).to_bytes(2, "big") + len(body).to_bytes(2, "big") + bytes(4) + body


def send(*ranges: tuple[int, int]) -> object:
    data = parameters(*ranges)
    return run(disk(), unmap(len(data)), data)


def done(wanted: int) -> Result:
    return Result(Status.GOOD, data_out_used=wanted)


def test_a_vector() -> None:
    data = bytes.fromhex("0016 0010 00000000 0000000000000064 00000008 00000000")
    operation = run(disk(), unmap(24), data)
    assert operation == Discard(((100 * 512, 8 * 512),), 24)
    assert isinstance(operation, Discard)
    assert disk().finish(operation) == done(24)


def test_several_ranges_also_overlapping_ones() -> None:
    assert send((0, 1), (0, 8), (BLOCKS - 1, 1)) == Discard(
        ((0, 512), (0, 4096), ((BLOCKS - 1) * 512, 512)), 56
    )


def test_nothing_to_give_back_is_good() -> None:
    assert run(disk(), unmap(0)) == GOOD
    assert run(disk(), unmap(8), parameters()) == done(8)
    assert send((0, 0), (BLOCKS, 0)) == done(40)
    assert send((0, 0), (5, 1)) == Discard(((5 * 512, 512),), 40)


@pytest.mark.parametrize(
    "ranges", [[(BLOCKS, 1)], [(BLOCKS + 1, 0)], [(0, 1), (BLOCKS - 1, 2)], [((1 << 64) - 1, 1)]]
)
def test_one_range_outside_refuses_them_all(ranges: list[tuple[int, int]]) -> None:
    assert fault(send(*ranges)).code == LBA_OUT_OF_RANGE  # type: ignore[arg-type]


def test_limits_of_the_block_limits_page() -> None:
    unit = disk(Geometry(1 << 30))
    for ranges, accepted in [
        ([(0, 1)] * 256, True),
        ([(0, 1)] * 257, False),
        ([(0, 1 << 20)], True),
        ([(0, (1 << 20) + 1)], False),
        ([(0, 1 << 19), (1 << 20, (1 << 19) + 1)], False),
    ]:
        data = parameters(*ranges)
        outcome = run(unit, unmap(len(data)), data)
        if accepted:
            assert isinstance(outcome, Discard)
        else:
            assert fault(outcome).code == LIST_FIELD


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (bytes(7), 7),  # no header
        (parameters((0, 1)), 8),  # the list was cut off by its own length
        (parameters((0, 1))[:-1], 23),
        (bytes.fromhex("0006 0010") + bytes(20), 24),  # the two lengths contradict each other
    ],
)
def test_lists_of_a_wrong_length(data: bytes, length: int) -> None:
    assert fault(run(disk(), unmap(length), data)).code == LIST_LENGTH


def test_an_incomplete_descriptor_at_the_end_does_not_count() -> None:
    data = bytes.fromhex("001e 0018") + bytes(4) + (9).to_bytes(8, "big") + (1).to_bytes(4, "big") + bytes(12)
    assert run(disk(), unmap(32), data) == Discard(((9 * 512, 512),), 32)


def test_less_data_than_the_list_is_refused() -> None:
    outcome = run(disk(), unmap(24), parameters((0, 1))[:16])
    assert isinstance(outcome, Result)
    assert fault(outcome).code == SHORT_DATA
    assert outcome.transfer_wanted == 24


def test_anchor_is_refused() -> None:
    assert fault(run(disk(), unmap(0, anchor=True))).field == (1, 0)


def test_without_discard_there_is_no_such_command() -> None:
    assert fault(run(disk(Geometry(100, discard=False)), unmap(0))).code == INVALID_OPCODE


def test_a_read_only_disk_gives_nothing_back() -> None:
    assert fault(run(disk(read_only=True), unmap(0))).code == (7, 0x27, 0)
