"""READ and WRITE: operations, ranges, limits, and data-out that does not match the CDB."""

import pytest

from tests.unit.scsi.support import (
    BLOCK,
    BLOCKS,
    INVALID_FIELD,
    LBA_OUT_OF_RANGE,
    SHORT_DATA,
    disk,
    fault,
    good,
    run,
)
from twinlock.scsi.geometry import Geometry, Limits
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.operations import GOOD, Read, Result, Status, Write

READS = {6: 0x08, 10: 0x28, 12: 0xA8, 16: 0x88}
WRITES = {6: 0x0A, 10: 0x2A, 12: 0xAA, 16: 0x8A}
LONG = [10, 12, 16]


def cdb(opcode: int, size: int, block: int, count: int, flags: int = 0) -> bytes:
    """A transfer CDB, written out from the tables of the standard."""
    if size == 6:
        return bytes([opcode, *block.to_bytes(3, "big"), count % 256, 0])
    if size == 10:
        return bytes([opcode, flags, *block.to_bytes(4, "big"), 0, *count.to_bytes(2, "big"), 0])
    if size == 12:
        return bytes([opcode, flags, *block.to_bytes(4, "big"), *count.to_bytes(4, "big"), 0, 0])
    return bytes([opcode, flags, *block.to_bytes(8, "big"), *count.to_bytes(4, "big"), 0, 0])


def test_vectors() -> None:
    unit = disk()
    assert run(unit, bytes.fromhex("08 00 01 02 03 00")) == Read(0x102 * 512, 3 * 512)
    assert run(unit, bytes.fromhex("28 00 00 00 01 02 00 00 03 00")) == Read(0x102 * 512, 3 * 512)
    assert run(unit, bytes.fromhex("a8 00 00 00 01 02 00 00 00 03 00 00")) == Read(0x102 * 512, 3 * 512)
    sixteen = bytes.fromhex("88 00 00000000 00000102 00000003 00 00")
    assert run(unit, sixteen) == Read(0x102 * 512, 3 * 512)


def test_all_21_bits_of_a_short_address_count() -> None:
    unit = disk(Geometry(1 << 22))
    assert run(unit, bytes.fromhex("08 1f ff ff 01 00")) == Read(0x1FFFFF * 512, 512)
    # the top three bits were a LUN once, and some initiators still put one there
    assert run(unit, bytes.fromhex("08 ff ff ff 01 00")) == Read(0x1FFFFF * 512, 512)


def test_all_64_bits_of_a_long_address_count() -> None:
    unit = disk(Geometry(1 << 50))
    assert run(unit, cdb(0x88, 16, (1 << 50) - 1, 1)) == Read(((1 << 50) - 1) * 512, 512)


@pytest.mark.parametrize("size", [6, 10, 12, 16])
@pytest.mark.parametrize("block_size", [512, 4096])
def test_offsets_and_lengths_are_bytes(size: int, block_size: int) -> None:
    unit = disk(Geometry(1000, block_size))
    data = bytes(range(256)) * (2 * block_size // 256)
    assert run(unit, cdb(READS[size], size, 998, 2)) == Read(998 * block_size, 2 * block_size)
    expected = Write(998 * block_size, data, wanted=2 * block_size)
    assert run(unit, cdb(WRITES[size], size, 998, 2), data) == expected


def test_a_length_of_zero_means_256_only_in_the_short_form() -> None:
    unit = disk()
    assert run(unit, bytes.fromhex("08 00 00 00 00 00")) == Read(0, 256 * 512)
    data = bytes(256 * 512)
    assert run(unit, bytes.fromhex("0a 00 00 00 00 00"), data) == Write(0, data, wanted=256 * 512)
    for size in LONG:
        assert run(unit, cdb(READS[size], size, 5, 0)) == GOOD
        assert run(unit, cdb(WRITES[size], size, 5, 0)) == GOOD


@pytest.mark.parametrize("table", [READS, WRITES])
@pytest.mark.parametrize("size", LONG)
@pytest.mark.parametrize(
    ("flags", "fua"), [(0x00, False), (0x10, False), (0x08, True), (0x18, True), (0x02, False)]
)
def test_dpo_fua_and_fua_nv(table: dict[int, int], size: int, flags: int, fua: bool) -> None:
    operation = run(disk(), cdb(table[size], size, 0, 1, flags), bytes(512))
    assert isinstance(operation, Read | Write)
    assert operation.fua is fua


@pytest.mark.parametrize("table", [READS, WRITES])
@pytest.mark.parametrize("size", LONG)
@pytest.mark.parametrize("protect", range(1, 8))
def test_protection_information_is_refused(table: dict[int, int], size: int, protect: int) -> None:
    found = fault(run(disk(), cdb(table[size], size, 0, 1, protect << 5), bytes(512)))
    assert found.code == INVALID_FIELD
    assert found.field == (1, 7)


@pytest.mark.parametrize("table", [READS, WRITES])
@pytest.mark.parametrize("size", LONG)
@pytest.mark.parametrize(
    ("block", "count"),
    [(BLOCKS, 1), (BLOCKS - 1, 2), (BLOCKS - 255, 256), (0x80000000, 1), (0xFFFFFFFF, 1), (BLOCKS + 1, 0)],
)
def test_outside_the_disk(table: dict[int, int], size: int, block: int, count: int) -> None:
    found = fault(run(disk(), cdb(table[size], size, block, count), bytes(count * BLOCK)))
    assert found.code == LBA_OUT_OF_RANGE


def test_outside_the_disk_with_the_short_form_and_at_the_end_of_the_64_bits() -> None:
    unit = disk()
    assert fault(run(unit, cdb(0x08, 6, BLOCKS, 1))).code == LBA_OUT_OF_RANGE
    assert fault(run(unit, cdb(0x08, 6, BLOCKS - 255, 0))).code == LBA_OUT_OF_RANGE
    assert fault(run(unit, cdb(0x88, 16, (1 << 64) - 1, 1))).code == LBA_OUT_OF_RANGE
    assert fault(run(unit, cdb(0x88, 16, (1 << 64) - 1, 0))).code == LBA_OUT_OF_RANGE


@pytest.mark.parametrize("table", [READS, WRITES])
@pytest.mark.parametrize("size", LONG)
def test_an_empty_range_may_lie_directly_behind_the_end(table: dict[int, int], size: int) -> None:
    assert run(disk(), cdb(table[size], size, BLOCKS, 0)) == GOOD


@pytest.mark.parametrize(("size", "field"), [(10, (7, None)), (12, (6, None)), (16, (10, None))])
def test_the_maximum_transfer_length_holds(size: int, field: tuple[int, None]) -> None:
    unit = disk()
    assert run(unit, cdb(READS[size], size, 0, 16384)) == Read(0, 8 << 20)
    found = fault(run(unit, cdb(READS[size], size, 0, 16385)))
    assert found.code == INVALID_FIELD
    assert found.field == field
    assert fault(run(unit, cdb(WRITES[size], size, 0, 16385))).code == INVALID_FIELD


def test_a_disk_can_always_move_what_the_short_form_asks_for() -> None:
    with pytest.raises(ValueError, match="256 blocks"):
        LogicalUnit(Identity.of_array(bytes(16)), Geometry(100), limits=Limits(transfer=255 * 512))


# -- data-out of another length than the CDB asks for (EDTL in iSCSI) ------------------------------


def residual_case(count: int, sent: int) -> Result | Write:
    outcome = run(disk(), cdb(0x2A, 10, 7, count), b"b" * sent)
    assert isinstance(outcome, Result | Write)
    return outcome


def test_nothing_sent_writes_nothing_and_is_good() -> None:
    assert residual_case(1, 0) == Result(Status.GOOD, data_out_used=512)


@pytest.mark.parametrize(("count", "sent", "written"), [(1, 1024, 512), (2, 512, 512), (1, 10000, 512)])
def test_the_shorter_of_both_is_written(count: int, sent: int, written: int) -> None:
    unit = disk()
    operation = residual_case(count, sent)
    assert operation == Write(7 * 512, b"b" * written, wanted=count * 512)
    assert isinstance(operation, Write)
    assert unit.finish(operation).transfer_wanted == count * 512


def test_a_piece_of_a_block_is_refused_and_the_residual_is_still_right() -> None:
    outcome = residual_case(1, 200)
    assert isinstance(outcome, Result)
    assert fault(outcome).code == SHORT_DATA
    assert outcome.transfer_wanted == 512


@pytest.mark.parametrize("size", [6, 10, 12, 16])
def test_a_read_only_disk_reads_but_does_not_write(size: int) -> None:
    unit = disk(read_only=True)
    assert run(unit, cdb(READS[size], size, 0, 1)) == Read(0, 512)
    assert fault(run(unit, cdb(WRITES[size], size, 0, 1), bytes(512))).code == (7, 0x27, 0)


def test_data_out_is_not_copied() -> None:
    data = bytearray(512)
    operation = run(disk(), cdb(0x2A, 10, 0, 1), data)  # type: ignore[arg-type]
    assert isinstance(operation, Write)
    data[0] = 1
    assert memoryview(operation.data)[0] == 1


def test_data_in_is_what_the_device_returned() -> None:
    unit = disk()
    operation = run(unit, cdb(0x28, 10, 0, 1))
    assert isinstance(operation, Read)
    result = unit.finish(operation, bytearray(b"x" * 512))
    assert good(result) == b"x" * 512
    assert result.transfer_wanted == 512
    with pytest.raises(ValueError, match="none was given"):
        unit.finish(operation)
