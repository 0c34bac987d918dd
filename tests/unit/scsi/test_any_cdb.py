"""Whatever an initiator sends, it gets a result, or an operation inside the disk."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scsi.support import INVALID_FIELD, INVALID_OPCODE, NEXUS, disk, fault, run
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.scsi.command import Outcome
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.logical_unit import COMMANDS, LogicalUnit
from twinlock.scsi.operations import (
    AbortTasks,
    Answer,
    BlockStatus,
    CompareAndWrite,
    Compared,
    Copy,
    Extent,
    Flush,
    Operation,
    OrWrite,
    Read,
    Result,
    Status,
    Verify,
    Write,
    WriteSame,
    WriteVerify,
)
from twinlock.scsi.results import ranges
from twinlock.scsi.target import ScsiTarget

ADDRESSES = st.sampled_from([0, 1, 7, 63, 64, 65, 0xFFFFFFFF, (1 << 64) - 1])


@st.composite
def likely_cdbs(draw: st.DrawFn) -> bytes:
    """CDBs of commands that exist, mostly with small numbers, so that many get far."""
    command = draw(st.sampled_from(COMMANDS))
    size = command.cdb.SIZE
    cdb = bytearray(draw(st.binary(min_size=size, max_size=size)) if draw(st.booleans()) else bytes(size))
    cdb[0] = command.opcode
    cdb[1] = command.service_action if command.service_action is not None else draw(st.integers(0, 255))
    for at in draw(st.lists(st.integers(2, size - 2), max_size=3)):
        cdb[at] = draw(st.integers(0, 70))
    cdb[-1] = 0
    return bytes(cdb)


def check_inside(outcome: Outcome, geometry: Geometry) -> None:
    match outcome:
        case Result():
            assert outcome.status in (Status.GOOD, Status.CHECK_CONDITION)
            assert bool(outcome.sense) == (outcome.status is Status.CHECK_CONDITION)
            assert outcome.transfer_wanted >= 0
            return
        case Flush() | AbortTasks():
            return
        case Verify() if outcome.compare is not None:
            size = len(memoryview(outcome.compare))
            assert size == outcome.wanted
            assert size in (geometry.block_size, outcome.length)
        case CompareAndWrite():
            assert len(memoryview(outcome.compare)) == ranges(outcome)[0][1]
        case Write() | WriteVerify() | OrWrite():
            assert len(memoryview(outcome.data)) <= outcome.wanted
        case WriteSame():
            assert len(memoryview(outcome.block)) == geometry.block_size
        case Copy():
            places = [each for one in outcome.segments for each in (one[0::2], one[1:])]
            check_ranges(places, geometry, least=0)
            return
    found = ranges(outcome)
    assert found
    check_ranges(found, geometry)


def check_ranges(ranges: Iterable[tuple[int, ...]], geometry: Geometry, least: int = 1) -> None:
    for offset, length in ranges:
        assert offset >= 0
        assert length >= least
        assert offset + length <= geometry.size
        assert offset % geometry.block_size == length % geometry.block_size == 0


def end(unit: LogicalUnit, outcome: Outcome, error: type[DeviceError] | None) -> None:
    """Carry the operation to its end, well or not."""
    if isinstance(outcome, Result):
        return
    if error is not None:
        assert unit.fail(outcome, error("bad")).status is Status.CHECK_CONDITION
        return
    result = unit.finish(outcome, answer(outcome, unit.geometry))
    assert result.status in (Status.GOOD, Status.CHECK_CONDITION)


def answer(operation: Operation, geometry: Geometry) -> Answer:
    """What the device might say."""
    match operation:
        case BlockStatus():
            return (Extent(operation.offset, geometry.block_size, mapped=False),)
        case Read():
            return bytes(operation.length)
        case Verify() | WriteVerify() | CompareAndWrite():
            return Compared(0)
    return None


ERRORS = st.sampled_from([None, MediumError, WriteFailed, SpaceExhausted, DeviceGone])
GEOMETRIES = st.sampled_from(
    [Geometry(64), Geometry(64, 4096), Geometry(64, 4096, discard=False), Geometry(1 << 40)]
)


@settings(max_examples=600, deadline=None)
@given(
    cdb=likely_cdbs() | st.binary(max_size=20),
    data=st.binary(max_size=5000),
    geometry=GEOMETRIES,
    error=ERRORS,
)
def test_any_command(cdb: bytes, data: bytes, geometry: Geometry, error: type[DeviceError] | None) -> None:
    unit = disk(geometry)
    outcome = run(unit, cdb, data)
    check_inside(outcome, geometry)
    end(unit, outcome, error)


@settings(max_examples=200, deadline=None)
@given(
    lun=st.sampled_from([bytes(8), bytes.fromhex("c101000000000000"), bytes([0, 5, *bytes(6)])])
    | st.binary(max_size=10),
    cdb=likely_cdbs() | st.binary(max_size=20),
    data=st.binary(max_size=600),
)
def test_any_lun(lun: bytes, cdb: bytes, data: bytes) -> None:
    unit = disk(Geometry(64))
    check_inside(ScsiTarget({0: unit}).start(NEXUS, lun, cdb, data), unit.geometry)


@settings(max_examples=100, deadline=None)
@given(lba=ADDRESSES, count=st.integers(0, 70), opcode=st.sampled_from([0x88, 0x8A, 0x8F, 0x91]))
def test_ranges_near_the_end(lba: int, count: int, opcode: int) -> None:
    unit = disk(Geometry(64))
    cdb = bytes([opcode, 0, *lba.to_bytes(8, "big"), *count.to_bytes(4, "big"), 0, 0])
    outcome = run(unit, cdb, bytes(count * 512))
    check_inside(outcome, unit.geometry)
    refused = isinstance(outcome, Result) and outcome.status is Status.CHECK_CONDITION
    assert refused == (lba + count > 64)


def test_every_cut_of_every_cdb_is_refused_cleanly() -> None:
    unit = disk()
    for command in COMMANDS:
        whole = bytes([command.opcode, command.service_action or 0]) + bytes(command.cdb.SIZE - 2)
        for length in range(command.cdb.SIZE):
            expected = INVALID_FIELD if length else INVALID_OPCODE
            assert fault(run(unit, whole[:length])).code == expected


def test_extended_cdbs_are_taken_by_their_operation_code() -> None:
    assert run(disk(), bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]) + bytes(200)) == Read(0, 512)
