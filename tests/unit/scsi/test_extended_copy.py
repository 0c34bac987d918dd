"""EXTENDED COPY: what is refused before anything is copied, and what ends it at a segment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scsi.copying import NAA, extended_copy, parameters, segment, target
from tests.unit.scsi.support import (
    BLOCKS,
    LBA_OUT_OF_RANGE,
    NEXUS,
    SHORT_DATA,
    Fault,
    disk,
    fault,
    run,
    sense_of,
)
from twinlock.errors import MediumError
from twinlock.scsi.command import Outcome
from twinlock.scsi.copy_jobs import Segment
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.operations import GOOD, Copy, Result, Status
from twinlock.wire.scsi_copy import CopyStatus

LIST_LENGTH = (5, 0x1A, 0)
LIST_FIELD = (5, 0x26, 0)
UNREACHABLE = (0xA, 0x08, 4)
THIS = 0xFFFF


def send(data: bytes, unit: LogicalUnit | None = None) -> Outcome:
    return run(unit or disk(), extended_copy(len(data)), data)


def copied(data: bytes, unit: LogicalUnit | None = None) -> Copy:
    operation = send(data, unit)
    assert isinstance(operation, Copy), fault(operation)
    return operation


def segment_of(result: Result) -> int:
    """The third and fourth byte of COMMAND-SPECIFIC INFORMATION, in fixed format."""
    return int.from_bytes(result.sense[10:12], "big")


# -- what is copied -------------------------------------------------------------------------------


def test_segments_in_their_order() -> None:
    unit = disk()
    data = parameters([target(), target()], [segment(0, 100, 8, ids=(0, 1)), segment(100, 7, 1, ids=(1, 0))])
    operation = copied(data, unit)
    assert operation.segments == (Segment(0, 51200, 4096), Segment(51200, 3584, 512))
    assert operation.wanted == len(data)
    assert unit.finish(operation) == Result(Status.GOOD, data_out_used=len(data))
    assert operation.job.status is CopyStatus.COMPLETED


def test_the_unit_itself_needs_no_descriptor() -> None:
    assert copied(parameters([], [segment(0, 9, 1, ids=(THIS, THIS))])).segments == (Segment(0, 4608, 512),)


def test_no_blocks_are_no_error() -> None:
    assert copied(parameters([target()], [segment(BLOCKS, 0, 0)])).segments[0].length == 0


def test_nothing_to_copy() -> None:
    assert run(disk(), extended_copy(0)) == GOOD
    data = parameters([target()], [])
    assert send(data) == Result(Status.GOOD, data_out_used=len(data))


def test_a_disk_of_other_blocks() -> None:
    unit = disk(Geometry(100, 4096))
    data = parameters([target(block=4096)], [segment(1, 2, 3)])
    assert copied(data, unit).segments == (Segment(4096, 8192, 12288),)


# -- the parameter list ---------------------------------------------------------------------------

GOOD_LIST = parameters([target()], [segment(0, 100, 8)])


@pytest.mark.parametrize("length", [1, 15, 16, 47, 48, len(GOOD_LIST) - 1])
def test_a_list_that_is_cut_off(length: int) -> None:
    assert fault(send(GOOD_LIST[:length])).code == LIST_LENGTH


def test_less_data_than_the_list() -> None:
    outcome = run(disk(), extended_copy(len(GOOD_LIST)), GOOD_LIST[:-1])
    assert fault(outcome).code == SHORT_DATA


def test_limits_of_the_operating_parameters() -> None:
    for targets, segments, code in [
        (16, 64, None),
        (17, 1, (5, 0x26, 6)),
        (1, 65, (5, 0x26, 8)),
        (17, 65, LIST_LENGTH),
    ]:
        outcome = send(parameters([target()] * targets, [segment(0, 100, 1)] * segments))
        assert isinstance(outcome, Copy) if code is None else fault(outcome).code == code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (parameters([target(code=0xE0)], [segment(0, 1, 1)]), (5, 0x26, 7)),
        (parameters([target(), target(code=0xEA)], [segment(0, 1, 1)]), (5, 0x26, 7)),
        (parameters([target()], [segment(0, 1, 1), segment(0, 1, 1, code=3)]), (5, 0x26, 9)),
        (parameters([target()], [segment(0, 1, 1)], inline=8), (5, 0x26, 0x0B)),
    ],
)
def test_what_is_not_served(data: bytes, code: tuple[int, int, int]) -> None:
    assert fault(send(data)).code == code


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (parameters([target()], [segment(0, 1, 1)], usage=1), (1, 4)),
        (parameters([target()], [segment(0, 1, 1)], usage=3), (0, None)),
        (parameters([target()[:31]], []), (2, None)),
        (parameters([target()], [segment(0, 1, 1)[:27]]), (8, None)),
        (parameters([target()], [segment(0, 1, 1, length=0x17)]), (16 + 32 + 2, None)),
        (parameters([target(block=4096)], [segment(0, 1, 1)]), (16 + 29, None)),
        (parameters([target(), target(flags=0x20)], [segment(0, 1, 1, ids=(0, 1))]), (16 + 32 + 1, 5)),
        (parameters([target(bytes(16) + b"12345")[:32]], [segment(0, 1, 1)]), (16 + 7, None)),
    ],
)
def test_fields_of_the_list_that_are_refused(data: bytes, field: tuple[int, int | None]) -> None:
    found = fault(send(data))
    assert (found.code, found.parameter) == (LIST_FIELD, field)


@pytest.mark.parametrize("flags", [0x40, 0x80, 0xC0])
def test_lu_id_type_is_ignored(flags: int) -> None:
    """As SPC-4 has it; earlier standards reserved it."""
    assert copied(parameters([target(flags=flags)], [segment(0, 1, 1)])).segments


def test_copies_without_identifier() -> None:
    unit = disk()
    assert copied(parameters([target()], [segment(0, 1, 1)], identifier=0, usage=3), unit)
    assert unit.copies.get(NEXUS, 0) is None


# -- segments that end the command ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "bad", "code", "field"),
    [
        ([target(b"3" * 8)], segment(0, 1, 1), UNREACHABLE, (4, None)),
        ([target(NAA[:7])], segment(0, 1, 1), UNREACHABLE, (4, None)),
        ([target(association=1)], segment(0, 1, 1), UNREACHABLE, (4, None)),
        ([target(device=1)], segment(0, 1, 1), (0xA, 0x0D, 3), (4, None)),
        ([target()], segment(0, 1, 1, ids=(0, 1)), UNREACHABLE, (6, None)),
        ([target()], segment(0, 1, 1, ids=(0xC000, 0)), UNREACHABLE, (4, None)),
        ([], segment(0, 1, 1), UNREACHABLE, (4, None)),
        ([target()], segment(BLOCKS, 1, 1), (0xA, 0, 0), (12, None)),
        ([target()], segment(0, BLOCKS - 1, 2), (0xA, 0, 0), (20, None)),
        ([target()], segment(1 << 63, 0, 1), (0xA, 0, 0), (12, None)),
    ],
)
def test_a_first_segment_that_cannot_be_copied(
    targets: list[bytes], bad: bytes, code: tuple[int, int, int], field: tuple[int, None]
) -> None:
    unit = disk()
    outcome = send(parameters(targets, [bad, segment(0, 5, 1, ids=(THIS, THIS))]), unit)
    found: Fault = fault(outcome)
    assert (found.code, found.parameter, found.field) == (code, field, None)
    assert isinstance(outcome, Result)
    assert segment_of(outcome) == 0
    assert outcome.sense[15] & 0x20, "counted from the start of the segment descriptor"
    job = unit.copies.get(NEXUS, 1)
    assert job is not None
    assert (job.status, job.sense) == (CopyStatus.FAILED, outcome.sense)


def test_segments_before_a_bad_one_are_copied() -> None:
    unit = disk()
    data = parameters(
        [target()], [segment(0, 10, 1), segment(1, 11, 1), segment(0, BLOCKS, 1), segment(2, 12, 1)]
    )
    operation = copied(data, unit)
    assert [each.source for each in operation.segments] == [0, 512]
    result = unit.finish(operation)
    assert fault(result).code == (0xA, 0, 0)
    assert (segment_of(result), result.transfer_wanted) == (2, len(data))
    assert operation.job.status is CopyStatus.FAILED


def test_a_device_that_fails_ends_the_copy_at_its_segment() -> None:
    unit = disk()
    operation = copied(parameters([target()], [segment(0, 10, 1), segment(1, 11, 1)]), unit)
    operation.job.segments = 1
    result = unit.fail(operation, MediumError("bad", offset=512))
    assert fault(result).code == (0xA, 0x0D, 1)
    assert segment_of(result) == 1
    assert (operation.job.status, operation.job.sense) == (CopyStatus.FAILED, result.sense)


def test_descriptor_sense_tells_the_segment_too() -> None:
    unit = disk()
    unit.descriptor_sense = True
    outcome = send(parameters([target()], [segment(0, BLOCKS, 1)]), unit)
    assert isinstance(outcome, Result)
    assert sense_of(outcome.sense).parameter == (20, None)
    assert bytes.fromhex("010a0000 0000000000000000") in outcome.sense


# -- list identifiers -----------------------------------------------------------------------------


def test_an_identifier_in_use_is_refused() -> None:
    unit = disk()
    first = copied(GOOD_LIST, unit)
    assert fault(send(GOOD_LIST, unit)).code == (5, 0, 0x16)
    assert isinstance(send(parameters([target()], [segment(0, 1, 1)], identifier=2), unit), Copy)
    first.job.succeed()
    assert copied(GOOD_LIST, unit).job is not first.job


def test_a_read_only_disk_refuses() -> None:
    assert fault(send(GOOD_LIST, disk(read_only=True))).code == (7, 0x27, 0)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_list(data: st.DataObject) -> None:
    """A copy inside the disk, or a clean refusal."""
    number = st.sampled_from([0, 1, 5, BLOCKS - 1, BLOCKS, (1 << 64) - 1])
    index = st.sampled_from([0, 1, 2, THIS])
    targets = data.draw(st.lists(st.builds(target, st.sampled_from([NAA, b"x" * 8])), max_size=3))
    segments = data.draw(
        st.lists(
            st.builds(
                lambda a, b, n, i, j: segment(a, b, n, ids=(i, j)),
                number,
                number,
                st.integers(0, 3),
                index,
                index,
            ),
            max_size=4,
        )
    )
    raw = bytearray(parameters(targets, segments, usage=data.draw(st.integers(0, 3))))
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=2)):
        raw[at] = data.draw(st.integers(0, 255))
    outcome = send(bytes(raw))
    if isinstance(outcome, Copy):
        for source, destination, length in outcome.segments:
            assert max(source, destination) + length <= BLOCKS * 512
        assert outcome.refusal is None or int(outcome.refusal.code.value[0]) == 0xA
    else:
        assert isinstance(outcome, Result)
        assert outcome.status is Status.GOOD or fault(outcome).code != LBA_OUT_OF_RANGE
