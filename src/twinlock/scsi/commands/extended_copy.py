"""EXTENDED COPY (LID1): blocks from one place of the disk to another, without a detour.

The parameter list is judged as a whole.  A segment that cannot be copied (SPC-4: an error
found while segments are processed) ends the command where it stands: those before it are copied.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from twinlock.scsi.command import Call, Command, Opcode, Outcome
from twinlock.scsi.copy_jobs import CopyJob, Segment
from twinlock.scsi.identity import Identity
from twinlock.scsi.operations import Copy, Result, Status
from twinlock.scsi.sense import Refusal, Sense, invalid_parameter, point_at, refuse
from twinlock.scsi.third_party_copy import list_length
from twinlock.scsi.transfer import data_received
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_medium import ExtendedCopyCdb
from twinlock.wire.scsi_copy import (
    THIS_LOGICAL_UNIT,
    BlockToBlockSegment,
    CopyHeader,
    DescriptorType,
    IdentificationCscd,
    ListIdUsage,
    SegmentHeader,
)
from twinlock.wire.scsi_inquiry import Association, DesignatorType, Peripheral
from twinlock.wire.scsi_sense import SenseCode

EXTENDED_COPY_LID1 = 0x00
"""Its service action."""
_UNSUPPORTED = ("null_device",)
"""LU ID TYPE is ignored, as SPC-4 has it; NUL is obsolete there, but who sets it means no disk."""


def extended_copy(call: Call[Disk], cdb: ExtendedCopyCdb) -> Outcome:
    """The segments, up to the first that names another logical unit or leaves the disk."""
    wanted = cdb.parameter_list_length
    if not wanted:
        return Result(Status.GOOD)
    parameters = data_received(call.data_out, wanted)
    header = _header(call.unit, parameters)
    targets = _targets(call.unit, parameters, header)
    descriptors = _descriptors(call.unit, parameters, header)
    job = _job(call, header)
    segments, refusal = _segments(call.unit, targets, descriptors)
    if not segments:
        return _nothing_to_copy(call.unit, job, refusal, wanted)
    return Copy(segments, job, wanted, refusal)


def _nothing_to_copy(disk: Disk, job: CopyJob, refusal: Sense | None, wanted: int) -> Result:
    if refusal is None:
        job.succeed()
        return Result(Status.GOOD, data_out_used=wanted)
    result = disk.check_condition(refusal, wanted)
    job.fail(result.status, result.sense)
    return result


# -- the parameter list ---------------------------------------------------------------------------


def _header(disk: Disk, parameters: memoryview) -> CopyHeader:
    if parameters.nbytes < CopyHeader.SIZE:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    header = CopyHeader.parse(parameters)
    descriptors = header.cscd_list_length + header.segment_list_length
    whole = CopyHeader.SIZE + descriptors + header.inline_data_length
    if descriptors > list_length(disk.limits) or whole > parameters.nbytes:
        raise refuse(SenseCode.PARAMETER_LIST_LENGTH_ERROR)
    if header.inline_data_length:
        raise refuse(SenseCode.INLINE_DATA_LENGTH_EXCEEDED)
    if header.list_id_usage not in tuple(ListIdUsage):
        raise invalid_parameter(CopyHeader, "list_id_usage")
    if header.list_id_usage == ListIdUsage.NONE and header.list_identifier:
        raise invalid_parameter(CopyHeader, "list_identifier")
    return header


def _targets(disk: Disk, parameters: memoryview, header: CopyHeader) -> list[IdentificationCscd]:
    """The CSCD descriptors."""
    if header.cscd_list_length > disk.limits.copy_targets * IdentificationCscd.SIZE:
        raise refuse(SenseCode.TOO_MANY_TARGET_DESCRIPTORS)
    starts = range(CopyHeader.SIZE, CopyHeader.SIZE + header.cscd_list_length, IdentificationCscd.SIZE)
    for start in starts:
        if parameters[start] != DescriptorType.IDENTIFICATION:
            raise refuse(SenseCode.UNSUPPORTED_TARGET_DESCRIPTOR_TYPE_CODE)
    if header.cscd_list_length % IdentificationCscd.SIZE:
        raise invalid_parameter(CopyHeader, "cscd_list_length")
    return [_target(disk, parameters, start) for start in starts]


def _target(disk: Disk, parameters: memoryview, start: int) -> IdentificationCscd:
    target = IdentificationCscd.parse(parameters, start)
    for name in _UNSUPPORTED:
        if getattr(target, name):
            raise invalid_parameter(IdentificationCscd, name, start)
    if target.designator_length > len(target.designator):
        raise invalid_parameter(IdentificationCscd, "designator_length", start)
    disk_like = target.peripheral_device_type == Peripheral.DISK
    if disk_like and _is_ours(target, disk.identity) and target.disk_block_length != disk.geometry.block_size:
        raise invalid_parameter(IdentificationCscd, "disk_block_length", start)
    return target


def _descriptors(disk: Disk, parameters: memoryview, header: CopyHeader) -> list[BlockToBlockSegment]:
    """The segment descriptors."""
    found = list(_walk(parameters, header))
    if len(found) > disk.limits.copy_segments:
        raise refuse(SenseCode.TOO_MANY_SEGMENT_DESCRIPTORS)
    return found


def _walk(parameters: memoryview, header: CopyHeader) -> Iterator[BlockToBlockSegment]:
    start = CopyHeader.SIZE + header.cscd_list_length
    end = start + header.segment_list_length
    while start < end:
        if parameters[start] != DescriptorType.BLOCK_TO_BLOCK:
            raise refuse(SenseCode.UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE)
        if start + BlockToBlockSegment.SIZE > end:
            raise invalid_parameter(CopyHeader, "segment_list_length")
        segment = BlockToBlockSegment.parse(parameters, start)
        if segment.descriptor_length != BlockToBlockSegment.SIZE - SegmentHeader.SIZE:
            raise invalid_parameter(BlockToBlockSegment, "descriptor_length", start)
        yield segment
        start += BlockToBlockSegment.SIZE


def _job(call: Call[Disk], header: CopyHeader) -> CopyJob:
    named = header.list_id_usage != ListIdUsage.NONE
    job = call.unit.copies.new(call.nexus, header.list_identifier if named else None)
    if job is None:
        raise refuse(SenseCode.OPERATION_IN_PROGRESS)
    return job


# -- segments -------------------------------------------------------------------------------------


def _segments(
    disk: Disk, targets: Sequence[IdentificationCscd], descriptors: Sequence[BlockToBlockSegment]
) -> tuple[tuple[Segment, ...], Sense | None]:
    """Those that can be copied, and the sense data of the first that cannot."""
    good: list[Segment] = []
    for number, each in enumerate(descriptors):
        try:
            good.append(_segment(disk, targets, each, number))
        except Refusal as refusal:
            return tuple(good), refusal.sense
    return tuple(good), None


def _segment(
    disk: Disk, targets: Sequence[IdentificationCscd], segment: BlockToBlockSegment, number: int
) -> Segment:
    for name in ("source", "destination"):
        if (code := _fault(disk, targets, getattr(segment, name))) is not None:
            raise _refused(code, name, number)
    count, size = segment.number_of_blocks, disk.geometry.block_size
    for name in ("source_address", "destination_address"):
        if getattr(segment, name) + count > disk.geometry.blocks:
            raise _refused(SenseCode.COPY_ABORTED, name, number)
    return Segment(segment.source_address * size, segment.destination_address * size, count * size)


def _fault(disk: Disk, targets: Sequence[IdentificationCscd], identifier: int) -> SenseCode | None:
    """What is wrong with a CSCD as a copy source or destination."""
    if identifier == THIS_LOGICAL_UNIT:
        return None
    if identifier >= len(targets):
        return SenseCode.UNREACHABLE_COPY_TARGET
    target = targets[identifier]
    if not _is_ours(target, disk.identity):
        return SenseCode.UNREACHABLE_COPY_TARGET
    if target.peripheral_device_type != Peripheral.DISK:
        return SenseCode.INCORRECT_COPY_TARGET_DEVICE_TYPE
    return None


def _is_ours(target: IdentificationCscd, identity: Identity) -> bool:
    """Whether the designator is one of this disk's page 83h that fits into a descriptor."""
    name = target.designator[: target.designator_length]
    is_unit = target.association == Association.LOGICAL_UNIT
    return is_unit and target.designator_type == DesignatorType.NAA and name == identity.naa


def _refused(code: SenseCode, name: str, number: int) -> Refusal:
    """The number of the segment is in COMMAND-SPECIFIC INFORMATION, the field in the segment pointer."""
    pointer = point_at(BlockToBlockSegment.FIELDS[name]).replace(in_cdb=False, in_segment=True)
    return Refusal(Sense(code, field=pointer, command_specific=number))


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "EXTENDED COPY (LID1)",
        Opcode.EXTENDED_COPY,
        ExtendedCopyCdb,
        extended_copy,
        service_action=EXTENDED_COPY_LID1,
        writes=True,
    ),
)
