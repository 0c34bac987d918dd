"""A key that does not open its keyslot is tried on each member's copy of it.

Key material has no checksum of LUKS's own.  Where the volume has none either, damage to it looks like a
wrong passphrase, although another member holds it whole.  See :mod:`twinlock.luks.rescue`.
"""

from collections.abc import Callable
from typing import TypeVar

from twinlock.errors import ContainerUnsupported, DeviceError, NoSuchKeyslot, WrongPassphrase
from twinlock.luks.rescue import candidates
from twinlock.server.container_header import FoundHeader, Source, read_leniently

_T = TypeVar("_T")
_NEWS = "the key material of key {number} was damaged on one member; it is taken from another member"


def try_everywhere(
    found: FoundHeader, source: Source, act: Callable[[bytes, int | None], _T], *, number: int | None = None
) -> tuple[_T, FoundHeader]:
    """What ``act`` says of the header, and the header that it opened.

    ``act`` gets a header and the keyslot to try, None for all; it raises WrongPassphrase, and so does this.
    ``number``: no other keyslot is to be tried.
    Members that hold the same cost nothing: only what differs is tried again.
    """
    try:
        return act(found.good, number), found
    except (WrongPassphrase, ContainerUnsupported):  # LUKS1: a damaged name of the cipher
        for candidate in candidates(found.good, _others(source, len(found.good))):
            if number not in (None, candidate.number):
                continue
            try:
                result = act(candidate.header, candidate.number)
            except (WrongPassphrase, NoSuchKeyslot, ContainerUnsupported):
                continue
            return result, found.rescued(candidate.header, _NEWS.format(number=candidate.number))
        raise


def _others(source: Source, length: int) -> list[bytes]:
    """The header area of every member that can be read, in whole."""
    held = []
    for copy in source.copies():
        try:
            held.append(read_leniently(copy, length))
        except DeviceError:
            continue
    return held
