"""Rules that many commands share: allocation lengths, ranges of blocks, and data-out that is too short."""

from typing_extensions import Buffer

from twinlock.scsi.operations import GOOD, Result, Status
from twinlock.scsi.sense import invalid_field, refuse
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb import (
    Cdb,
    Transfer6Cdb,
    Transfer10Cdb,
    Transfer12Cdb,
    Transfer16Cdb,
    Verify10Cdb,
    Verify12Cdb,
    Verify16Cdb,
)
from twinlock.wire.scsi_sense import SenseCode

TransferCdb = (
    Transfer6Cdb | Transfer10Cdb | Transfer12Cdb | Transfer16Cdb | Verify10Cdb | Verify12Cdb | Verify16Cdb
)


def reply(data: bytes, allocation_length: int) -> Result:
    """Data-in, cut to what the initiator has room for (SPC-4, allocation length); the cut is no error."""
    return Result(Status.GOOD, data[:allocation_length]) if data and allocation_length else GOOD


def check_range(disk: Disk, block: int, count: int) -> None:
    """Refuse what leaves the disk.  An empty range may lie directly behind the last block (SBC-3)."""
    if block + count > disk.geometry.blocks:
        raise refuse(SenseCode.LBA_OUT_OF_RANGE)


def check_length(disk: Disk, cdb: Cdb, count: int) -> None:
    """Refuse more blocks than MAXIMUM TRANSFER LENGTH of the Block Limits page says."""
    if count > disk.transfer_blocks:
        # never READ (6), which has no such field: see Disk
        raise invalid_field(cdb, "transfer_length")


def check_transfer(disk: Disk, cdb: TransferCdb) -> None:
    """What every command must respect that moves as many blocks as its CDB says."""
    if cdb.protect:  # there is no protection information: PROTECT is 0 in the standard INQUIRY data
        raise invalid_field(cdb, "protect")
    check_range(disk, cdb.logical_block_address, cdb.transfer_length)
    check_length(disk, cdb, cdb.transfer_length)


def exact_data(data_out: Buffer, wanted: int) -> memoryview:
    """Data-out of just ``wanted`` bytes.

    Where the number of blocks does not follow from the data, more of them than the CDB asks for is a
    sign that initiator and CDB mean different things, and is refused as fewer are.
    """
    if memoryview(data_out).nbytes > wanted:
        raise refuse(SenseCode.INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT, wanted)
    return data_received(data_out, wanted)


def data_received(data_out: Buffer, wanted: int) -> memoryview:
    """The first ``wanted`` bytes of data-out; refused if the initiator sent fewer."""
    data = memoryview(data_out).cast("B")
    if data.nbytes < wanted:
        raise refuse(SenseCode.INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT, wanted)
    return data[:wanted]


def blocks_received(data_out: Buffer, wanted: int, block_size: int) -> memoryview:
    """Up to ``wanted`` bytes of data-out, in whole blocks.

    A transport may announce less data than the CDB asks for; the command is then
    done with what came (FCP-4, FCP_DL; RFC 7143 section 11.4.5 for the residual).
    But a piece of a block cannot be written, so that is refused and nothing is.
    """
    data = memoryview(data_out).cast("B")[:wanted]
    if data.nbytes % block_size:
        raise refuse(SenseCode.INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT, wanted)
    return data
