"""What people read: sizes as words, and text from outside without its tricks."""

import re
from fractions import Fraction

SECTOR = 512
"""Bytes of a sector, the unit of md's and dm-crypt's on-disk fields, whatever the block size."""
LARGEST = (1 << 63) - 1
"""Bytes that an offset can count."""
KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40

_SUFFIXES = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of a size such as ``2G``, ``1.5T`` or ``4096`` (K, M, G, T are powers of 1024).

    Raises ValueError if ``text`` is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size")
    size = int(Fraction(match[1]) * _SUFFIXES[match[2].upper()])
    if size > LARGEST:
        raise ValueError(f"{text!r} is more than any disk has")
    return size


def format_size(size: int) -> str:
    """A size in bytes for people: ``2.0 GiB``."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size} bytes"


def one_line(text: str) -> str:
    """Text from outside, for a log or a terminal: what does not print is shown by its number.

    An initiator names itself before it proves anything; a line end in there would forge a line of the log.
    """
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def round_up(value: int, multiple: int) -> int:
    """The next multiple at or above ``value``."""
    return -(-value // multiple) * multiple


def round_down(value: int, multiple: int) -> int:
    """The next multiple at or below ``value``."""
    return value // multiple * multiple
