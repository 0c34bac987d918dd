"""INQUIRY: who is there, and what it can do."""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Unit
from twinlock.wire.scsi_cdb import InquiryCdb
from twinlock.wire.scsi_inquiry import StandardInquiry

_EXTENDED_COPY = 0x83


def inquiry(call: Call[Unit], cdb: InquiryCdb) -> Result:
    """Standard data, or with EVPD a page of vital product data."""
    if cdb.command_support_data:
        raise invalid_field(cdb, "command_support_data")
    if not cdb.vital_product_data:
        if cdb.page_code:
            raise invalid_field(cdb, "page_code")
        return reply(standard_data(call.unit), cdb.allocation_length)
    page = call.unit.vpd_pages.get(cdb.page_code)
    if page is None:
        raise invalid_field(cdb, "page_code")
    return reply(page(call.unit), cdb.allocation_length)


def standard_data(unit: Unit) -> bytes:
    """The 96 bytes of standard INQUIRY data."""
    identity = unit.identity
    return StandardInquiry(
        peripheral=unit.peripheral,
        third_party_copy=unit.commands.has_service_actions(_EXTENDED_COPY),
        vendor=identity.vendor.ljust(8).encode(),
        product=identity.product.ljust(16).encode(),
        revision=identity.revision.ljust(4).encode(),
    ).build()


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command("INQUIRY", Opcode.INQUIRY, InquiryCdb, inquiry, before_attention=True, access=Access.NOTHING),
)
