"""Log pages (SPC-4, log parameters)."""

from enum import IntEnum

from twinlock.wire.structure import Structure, bits, flag, structure, u8, u16


class LogPage(IntEnum):
    """PAGE CODE of LOG SENSE."""

    SUPPORTED_PAGES = 0x00
    INFORMATIONAL_EXCEPTIONS = 0x2F


@structure(size=4, section="SPC-4 Log page format")
class LogPageHeader(Structure):
    """DS 1: nothing is saved."""

    disable_save: bool = flag(0, 7, default=True)
    subpage_format: bool = flag(0, 6)
    page_code: int = bits(0, 5, 0)
    subpage_code: int = u8(1)
    page_length: int = u16(2)


@structure(size=2, section="SPC-4 Supported Log Pages and Subpages log page")
class SubpageEntry(Structure):
    """One page or subpage that is there."""

    page_code: int = bits(0, 5, 0)
    subpage_code: int = u8(1)


@structure(size=8, section="SPC-4 Informational Exceptions log page, general parameter data")
class InformationalExceptions(Structure):
    """A binary format list parameter; a code of 0 is "no exception", FFh "no temperature known"."""

    parameter_code: int = u16(0, default=0x0000)
    disable_update: bool = flag(2, 7, default=False)
    format_and_linking: int = bits(2, 1, 0, default=0b11)
    parameter_length: int = u8(3, default=4)
    code: int = u8(4, default=0)
    qualifier: int = u8(5, default=0)
    temperature: int = u8(6, default=0xFF)
