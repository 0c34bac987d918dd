"""What this copy manager tells about itself: limits of EXTENDED COPY, and VPD page 8Fh (SPC-4)."""

from collections.abc import Iterator

from twinlock.scsi.command import CommandSet, Opcode
from twinlock.scsi.geometry import Limits
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_copy import (
    THIS_LOGICAL_UNIT,
    BlockToBlockSegment,
    DescriptorType,
    GeneralCopyOperations,
    HeldData,
    IdentificationCscd,
    ParameterDataLimits,
    ThirdPartyCopy,
    ThirdPartyCopyHeader,
)
from twinlock.wire.scsi_inquiry import VpdHeader, VpdPage

DESCRIPTORS = tuple(sorted(DescriptorType))
"""Descriptor type codes that are served, in ascending order."""
_COPY_OPCODES = (Opcode.EXTENDED_COPY, Opcode.RECEIVE_COPY_RESULTS)
_SEGMENT_BLOCKS = (1 << 16) - 1


def list_length(limits: Limits) -> int:
    """MAXIMUM DESCRIPTOR LIST LENGTH: bytes of as many descriptors as may be."""
    return limits.copy_targets * IdentificationCscd.SIZE + limits.copy_segments * BlockToBlockSegment.SIZE


def segment_length(disk: Disk) -> int:
    """MAXIMUM SEGMENT LENGTH: bytes of as many blocks as a descriptor can say."""
    return _SEGMENT_BLOCKS * disk.geometry.block_size


def third_party_copy(disk: Disk) -> bytes:
    """8Fh: the descriptors that are mandatory with EXTENDED COPY."""
    body = b"".join(_descriptor(kind, data) for kind, data in _descriptors(disk))
    header = VpdHeader(peripheral=disk.peripheral, page_code=VpdPage.THIRD_PARTY_COPY, page_length=len(body))
    return header.build() + body


def _descriptors(disk: Disk) -> Iterator[tuple[ThirdPartyCopy, bytes]]:
    limits = disk.limits
    yield ThirdPartyCopy.SUPPORTED_COMMANDS, _counted(_commands(disk.commands), 1)
    parameters = ParameterDataLimits(
        maximum_cscd_count=limits.copy_targets,
        maximum_segment_count=limits.copy_segments,
        maximum_descriptor_list_length=list_length(limits),
    )
    yield ThirdPartyCopy.PARAMETER_DATA, parameters.build()
    yield ThirdPartyCopy.SUPPORTED_DESCRIPTORS, _counted(bytes(DESCRIPTORS), 1)
    yield ThirdPartyCopy.SUPPORTED_CSCD_IDS, _counted(THIS_LOGICAL_UNIT.to_bytes(2, "big"), 2)
    operations = GeneralCopyOperations(
        total_concurrent_copies=limits.copies,
        maximum_identified_copies=limits.copies,
        maximum_segment_length=segment_length(disk),
        data_segment_granularity=disk.geometry.block_size.bit_length() - 1,
    )
    yield ThirdPartyCopy.GENERAL_COPY_OPERATIONS, operations.build()
    yield ThirdPartyCopy.HELD_DATA, HeldData().build()


def _commands(commands: CommandSet) -> bytes:
    """Command support descriptors: operation code, and a counted list of service actions."""
    found = b""
    for opcode in _COPY_OPCODES:
        actions = bytes(each.service_action or 0 for each in commands if each.opcode == opcode)
        found += bytes([opcode]) + _counted(actions, 1)
    return found


def _counted(data: bytes, size: int) -> bytes:
    """A list with its length before it, in ``size`` bytes."""
    return len(data).to_bytes(size, "big") + data


def _descriptor(kind: ThirdPartyCopy, data: bytes) -> bytes:
    padded = data + bytes(-len(data) % 4)
    return ThirdPartyCopyHeader(descriptor_type=kind, descriptor_length=len(padded)).build() + padded
