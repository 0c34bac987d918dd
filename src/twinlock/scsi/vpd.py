"""Vital product data: one function per page, and the tables of which unit has which (SPC-4, SBC-3)."""

from collections.abc import Callable
from typing import Any

from twinlock.scsi.identity import Identity
from twinlock.scsi.third_party_copy import third_party_copy
from twinlock.scsi.unit import Disk, Unit
from twinlock.wire.scsi_inquiry import (
    PROTOCOL_ISCSI,
    Association,
    BlockDeviceCharacteristics,
    BlockLimits,
    CodeSet,
    DesignationHeader,
    DesignatorType,
    ExtendedInquiry,
    LogicalBlockProvisioning,
    ProvisioningType,
    RelativeTargetPort,
    VpdHeader,
    VpdPage,
)


def supported_pages(unit: Unit) -> bytes:
    """00h: the pages of ``unit``, in ascending order."""
    return _page(unit, VpdPage.SUPPORTED_PAGES, bytes(sorted(unit.vpd_pages)))


def unit_serial_number(unit: Unit) -> bytes:
    """80h."""
    return _page(unit, VpdPage.UNIT_SERIAL_NUMBER, unit.identity.serial.encode())


def disk_identification(disk: Disk) -> bytes:
    """83h: names of the logical unit, then those of the target and its port."""
    body = b"".join([*_unit_designators(disk.identity), *_target_designators(disk.identity)])
    return _page(disk, VpdPage.DEVICE_IDENTIFICATION, body)


def target_identification(unit: Unit) -> bytes:
    """83h of a unit that has no name of its own: names of the target and its port."""
    return _page(unit, VpdPage.DEVICE_IDENTIFICATION, b"".join(_target_designators(unit.identity)))


def extended_inquiry(disk: Disk) -> bytes:
    """86h."""
    return ExtendedInquiry(peripheral=disk.peripheral).build()


def block_limits(disk: Disk) -> bytes:
    """B0h."""
    geometry, limits = disk.geometry, disk.limits
    return BlockLimits(
        peripheral=disk.peripheral,
        optimal_transfer_length_granularity=geometry.blocks_per_physical,
        maximum_compare_and_write_length=limits.compare_blocks,
        maximum_transfer_length=disk.transfer_blocks,
        optimal_transfer_length=limits.optimal_transfer // geometry.block_size,
        maximum_unmap_lba_count=limits.unmap_blocks if geometry.discard else 0,
        maximum_unmap_descriptor_count=limits.unmap_descriptors if geometry.discard else 0,
        optimal_unmap_granularity=geometry.blocks_per_physical if geometry.discard else 0,
        unmap_granularity_alignment_valid=geometry.discard,
        maximum_write_same_length=disk.write_same_blocks,
    ).build()


def block_device_characteristics(disk: Disk) -> bytes:
    """B1h: nothing is claimed about the medium, since the members may be of any kind."""
    return BlockDeviceCharacteristics(peripheral=disk.peripheral).build()


def logical_block_provisioning(disk: Disk) -> bytes:
    """B2h: UNMAP and WRITE SAME with UNMAP, or neither.

    Unmapped blocks read as anything: a hole in ciphertext decrypts to noise.
    """
    discard = disk.geometry.discard
    kind = ProvisioningType.THIN if discard else ProvisioningType.FULL_OR_UNKNOWN
    return LogicalBlockProvisioning(
        peripheral=disk.peripheral,
        unmap=discard,
        write_same_16=discard,
        write_same_10=discard,
        provisioning_type=kind,
    ).build()


DISK_PAGES: dict[int, Callable[[Any], bytes]] = {
    VpdPage.SUPPORTED_PAGES: supported_pages,
    VpdPage.UNIT_SERIAL_NUMBER: unit_serial_number,
    VpdPage.DEVICE_IDENTIFICATION: disk_identification,
    VpdPage.EXTENDED_INQUIRY: extended_inquiry,
    VpdPage.THIRD_PARTY_COPY: third_party_copy,
    VpdPage.BLOCK_LIMITS: block_limits,
    VpdPage.BLOCK_DEVICE_CHARACTERISTICS: block_device_characteristics,
    VpdPage.LOGICAL_BLOCK_PROVISIONING: logical_block_provisioning,
}

WELL_KNOWN_PAGES: dict[int, Callable[[Any], bytes]] = {
    VpdPage.SUPPORTED_PAGES: supported_pages,
    VpdPage.DEVICE_IDENTIFICATION: target_identification,
}


def _page(unit: Unit, code: VpdPage, body: bytes) -> bytes:
    return VpdHeader(peripheral=unit.peripheral, page_code=code, page_length=len(body)).build() + body


def _unit_designators(identity: Identity) -> list[bytes]:
    vendor = identity.vendor.ljust(8) + identity.serial
    return [
        _designator(DesignatorType.NAA, CodeSet.BINARY, identity.naa),
        _designator(DesignatorType.T10_VENDOR_ID, CodeSet.ASCII, vendor.encode()),
    ]


def _target_designators(identity: Identity) -> list[bytes]:
    if identity.target_name is None or identity.port_name is None:
        return []
    name, port = DesignatorType.SCSI_NAME_STRING, Association.TARGET_PORT
    relative = RelativeTargetPort(number=identity.portal_group).build()
    return [
        _designator(DesignatorType.RELATIVE_TARGET_PORT, CodeSet.BINARY, relative, port),
        _designator(name, CodeSet.UTF_8, _name_string(identity.port_name), port),
        _designator(name, CodeSet.UTF_8, _name_string(identity.target_name), Association.TARGET_DEVICE),
    ]


def _designator(
    kind: DesignatorType, code_set: CodeSet, value: bytes, association: Association = Association.LOGICAL_UNIT
) -> bytes:
    of_target = association is not Association.LOGICAL_UNIT
    header = DesignationHeader(
        protocol=PROTOCOL_ISCSI if of_target else 0,
        protocol_valid=of_target,
        code_set=code_set,
        association=association,
        designator_type=kind,
        designator_length=len(value),
    )
    return header.build() + value


def _name_string(name: str) -> bytes:
    """A SCSI name string: ends in at least one zero, in a multiple of four bytes (SPC-4)."""
    text = name.encode() + b"\0"
    return text + bytes(-len(text) % 4)
