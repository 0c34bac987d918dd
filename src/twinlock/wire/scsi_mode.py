"""Mode parameters: headers, block descriptors and pages (SPC-4, SBC-3)."""

from enum import IntEnum

from twinlock.wire.structure import Structure, bits, flag, structure, u8, u16, u24, u32, u64


class ModePage(IntEnum):
    """PAGE CODE of MODE SENSE and MODE SELECT."""

    READ_WRITE_ERROR_RECOVERY = 0x01
    CACHING = 0x08
    CONTROL = 0x0A
    INFORMATIONAL_EXCEPTIONS = 0x1C
    ALL = 0x3F


ALL_SUBPAGES = 0xFF
"""SUBPAGE CODE that asks for a page together with its subpages."""


class PageControl(IntEnum):
    """PC: which values of the parameters MODE SENSE returns."""

    CURRENT = 0
    CHANGEABLE = 1
    DEFAULT = 2
    SAVED = 3


@structure(size=4, section="SPC-4 Mode parameter header(6); SBC-3 DEVICE-SPECIFIC PARAMETER")
class ModeHeader6(Structure):
    """MODE DATA LENGTH does not count itself."""

    mode_data_length: int = u8(0)
    write_protect: bool = flag(2, 7)
    dpo_fua: bool = flag(2, 4)
    block_descriptor_length: int = u8(3)


@structure(size=8, section="SPC-4 Mode parameter header(10); SBC-3 DEVICE-SPECIFIC PARAMETER")
class ModeHeader10(Structure):
    """MODE DATA LENGTH does not count itself."""

    mode_data_length: int = u16(0)
    write_protect: bool = flag(3, 7)
    dpo_fua: bool = flag(3, 4)
    long_lba: bool = flag(4, 0)
    block_descriptor_length: int = u16(6)


@structure(size=8, section="SBC-3 Short LBA mode parameter block descriptor")
class ShortBlockDescriptor(Structure):
    """FFFFFFFFh blocks means "more than fit here"."""

    number_of_blocks: int = u32(0)
    block_length: int = u24(5)


@structure(size=16, section="SBC-3 Long LBA mode parameter block descriptor")
class LongBlockDescriptor(Structure):
    """Returned where the initiator says with LLBAA that it knows it."""

    number_of_blocks: int = u64(0)
    block_length: int = u32(12)


@structure(size=2, section="SPC-4 page_0 mode page format")
class ModePageHeader(Structure):
    """In front of each page.  PS means nothing in a MODE SELECT."""

    subpage_format: bool = flag(0, 6)
    page_code: int = bits(0, 5, 0)
    page_length: int = u8(1)


@structure(size=12, section="SBC-3 Read-Write Error Recovery mode page")
class ErrorRecoveryPage(Structure):
    """ARRE 1: blocks that were hard to read are rewritten."""

    page_code: int = bits(0, 5, 0, default=ModePage.READ_WRITE_ERROR_RECOVERY)
    page_length: int = u8(1, default=0x0A)
    automatic_write_reallocation: bool = flag(2, 7, default=False)
    automatic_read_reallocation: bool = flag(2, 6, default=False)


@structure(size=20, section="SBC-3 Caching mode page")
class CachingPage(Structure):
    """WCE 1: what was written is durable only after SYNCHRONIZE CACHE, or with FUA."""

    page_code: int = bits(0, 5, 0, default=ModePage.CACHING)
    page_length: int = u8(1, default=0x12)
    write_cache_enabled: bool = flag(2, 2)
    read_cache_disabled: bool = flag(2, 0, default=False)


@structure(size=12, section="SPC-4 Control mode page")
class ControlPage(Structure):
    """How tasks are ordered and errors are told."""

    page_code: int = bits(0, 5, 0, default=ModePage.CONTROL)
    page_length: int = u8(1, default=0x0A)
    task_set_type: int = bits(2, 7, 5, default=0)
    descriptor_sense: bool = flag(2, 2)
    global_logging_save_disable: bool = flag(2, 1, default=False)
    queue_algorithm_modifier: int = bits(3, 7, 4, default=0)
    queue_error_management: int = bits(3, 2, 1, default=0)
    unit_attention_interlock: int = bits(4, 5, 4, default=0)
    software_write_protect: bool = flag(4, 3, default=False)
    task_aborted_status: bool = flag(5, 6, default=False)
    busy_timeout_period: int = u16(8, default=0)


@structure(size=12, section="SPC-4 Informational Exceptions Control mode page")
class InformationalExceptionsPage(Structure):
    """DEXCPT 1: failure predictions are not reported as sense data."""

    page_code: int = bits(0, 5, 0, default=ModePage.INFORMATIONAL_EXCEPTIONS)
    page_length: int = u8(1, default=0x0A)
    disable_exceptions: bool = flag(2, 3, default=False)
    reporting_method: int = bits(3, 3, 0, default=0)
