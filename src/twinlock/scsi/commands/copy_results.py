"""RECEIVE COPY RESULTS: what this copy manager can do, and what became of a copy."""

from enum import IntEnum
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.copy_jobs import CopyJob
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.third_party_copy import DESCRIPTORS, list_length, segment_length
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.units import KIB, MIB
from twinlock.wire.scsi_cdb_medium import ReceiveCopyResultsCdb
from twinlock.wire.scsi_copy import (
    CopyStatus,
    CopyStatusData,
    FailureDetails,
    OperatingParameters,
    TransferUnits,
)

_U32 = 1 << 32
_UNITS = {TransferUnits.BYTES: 1, TransferUnits.KIBIBYTES: KIB, TransferUnits.MEBIBYTES: MIB}


class ServiceAction(IntEnum):
    """SERVICE ACTION of RECEIVE COPY RESULTS; RECEIVE DATA is for segments that hold data."""

    COPY_STATUS = 0x00
    OPERATING_PARAMETERS = 0x03
    FAILED_SEGMENT_DETAILS = 0x04


def copy_status(call: Call[Disk], cdb: ReceiveCopyResultsCdb) -> Result:
    """How far the copy is, or how it ended."""
    job = _job(call, cdb)
    units = next(each for each in _UNITS if job.copied // _UNITS[each] < _U32)
    data = CopyStatusData(
        status=job.status,
        segments_processed=job.segments,
        transfer_count_units=units,
        transfer_count=job.copied // _UNITS[units],
    )
    return reply(data.build(), cdb.allocation_length)


def operating_parameters(call: Call[Disk], cdb: ReceiveCopyResultsCdb) -> Result:
    """The limits of EXTENDED COPY; the list identifier is not looked at."""
    disk, limits = call.unit, call.unit.limits
    data = OperatingParameters(
        available_data=OperatingParameters.SIZE - 4 + len(DESCRIPTORS),
        maximum_cscd_count=limits.copy_targets,
        maximum_segment_count=limits.copy_segments,
        maximum_descriptor_list_length=list_length(limits),
        maximum_segment_length=segment_length(disk),
        total_concurrent_copies=limits.copies,
        maximum_concurrent_copies=limits.copies,
        data_segment_granularity=disk.geometry.block_size.bit_length() - 1,
        implemented_descriptor_list_length=len(DESCRIPTORS),
    )
    return reply(data.build() + bytes(DESCRIPTORS), cdb.allocation_length)


def failed_segment_details(call: Call[Disk], cdb: ReceiveCopyResultsCdb) -> Result:
    """The sense data of a copy that failed; nothing for one that did not."""
    job = _job(call, cdb)
    if job.status is not CopyStatus.FAILED:
        return reply(bytes(4), cdb.allocation_length)
    data = FailureDetails(
        available_data=FailureDetails.SIZE - 4 + len(job.sense),
        command_status=job.command_status,
        sense_data_length=len(job.sense),
    )
    return reply(data.build() + job.sense, cdb.allocation_length)


def _job(call: Call[Disk], cdb: ReceiveCopyResultsCdb) -> CopyJob:
    job = call.unit.copies.get(call.nexus, cdb.list_identifier)
    if job is None:
        raise invalid_field(cdb, "list_identifier")
    return job


COMMANDS: tuple[Command[Any, Any], ...] = tuple(
    Command(
        name,
        Opcode.RECEIVE_COPY_RESULTS,
        ReceiveCopyResultsCdb,
        run,
        service_action=ServiceAction[action],
        access=Access.READ,
    )
    for name, action, run in (
        ("RECEIVE COPY STATUS (LID1)", "COPY_STATUS", copy_status),
        ("RECEIVE COPY OPERATING PARAMETERS", "OPERATING_PARAMETERS", operating_parameters),
        ("RECEIVE COPY FAILURE DETAILS (LID1)", "FAILED_SEGMENT_DETAILS", failed_segment_details),
    )
)
