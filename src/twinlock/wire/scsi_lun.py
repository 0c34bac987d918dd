"""The eight bytes that name a logical unit (SAM-5, logical unit numbers)."""

from enum import IntEnum
from functools import lru_cache

from twinlock.wire.structure import Structure, bits, raw, structure, u8


class AddressMethod(IntEnum):
    """ADDRESS METHOD, the top two bits of a LUN."""

    PERIPHERAL_DEVICE = 0
    FLAT_SPACE = 1
    LOGICAL_UNIT = 2
    EXTENDED = 3


REPORT_LUNS_WELL_KNOWN = bytes([0xC1, 0x01, 0, 0, 0, 0, 0, 0])
"""The well known logical unit that only reports the others."""

_PERIPHERAL_LUNS = 1 << 8
_FLAT_LUNS = 1 << 14
_FLAT_SPACE = AddressMethod.FLAT_SPACE << 6


@structure(size=8, section="SAM-5 Single level LUN structure")
class LunField(Structure):
    """A single-level LUN: the six bits next to the method, one more byte, and zeros."""

    method: int = bits(0, 7, 6)
    high: int = bits(0, 5, 0)
    low: int = u8(1)
    lower_levels: bytes = raw(2, 6, default=b"")


@lru_cache(maxsize=64)  # every command asks, and there are few
def lun_number(lun: bytes) -> int | None:
    """The number that ``lun`` (8 bytes) means, in either addressing method; None for all other forms."""
    if len(lun) != LunField.SIZE:
        return None
    field = LunField.parse(lun)
    if any(field.lower_levels):
        return None
    if field.method == AddressMethod.FLAT_SPACE:
        return field.high << 8 | field.low
    # with the peripheral method the high bits are a bus, and this target has none
    return field.low if field.method == AddressMethod.PERIPHERAL_DEVICE and not field.high else None


def canonical_lun(lun: bytes) -> bytes:
    """``lun`` (8 bytes) as REPORT LUNS writes it, so that equal bytes mean one logical unit.

    Only flat space addressing has a second form for the same number; all others are left as they are.
    """
    if lun[0] != _FLAT_SPACE or (number := lun_number(lun)) is None:
        return lun
    return lun_bytes(number)


def lun_bytes(number: int) -> bytes:
    """The LUN (8 bytes) of logical unit ``number``; ValueError if no single-level LUN can hold it."""
    if not 0 <= number < _FLAT_LUNS:
        raise ValueError(f"{number} is no logical unit number")
    method = AddressMethod.PERIPHERAL_DEVICE if number < _PERIPHERAL_LUNS else AddressMethod.FLAT_SPACE
    return LunField(method=method, high=number >> 8, low=number & 0xFF).build()
