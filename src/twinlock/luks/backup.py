"""A header's backup: the header area, as luksHeaderBackup of cryptsetup writes it and luksHeaderRestore
takes it.

Key material that the header does not name is zero in ours: remains of removed keys do not travel.
"""

import json
from dataclasses import dataclass

from twinlock.errors import ContainerUnsupported
from twinlock.luks.container import PROBE_LENGTH, header_length, loaded
from twinlock.luks.copies import BLOCK, copy_blocks, header_places, is_luks2, named, whole_copies
from twinlock.luks.device import LuksDevice
from twinlock.luks.facts import describe, judge
from twinlock.units import TIB, round_up

_ANY_SIZE = 1024 * TIB
_DIGEST_1 = slice(112, 168)
"""LUKS1: digest of the volume key, its salt and its iterations (LUKS1 on-disk format, section 2.2)."""


class NoBackup(Exception):
    """The bytes are no header's backup; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What two headers of the same data have in common, whatever keys they hold.  Offsets in bytes."""

    version: int
    uuid: str
    cipher: str
    key_size: int
    sector_size: int
    payload_offset: int
    volume_key: str
    """A digest by which the volume key is recognised, not the key."""


def area_length(first: bytes) -> int:
    """Bytes of the header area in whole blocks, from the first :data:`PROBE_LENGTH` bytes of the container.

    Raises :class:`ContainerUnsupported`.
    """
    return round_up(header_length(first), BLOCK)


def repaired(header: bytes, *, array_size: int) -> bytes:
    """The header with both copies whole and alike; raises ContainerUnsupported if neither is whole."""
    with loaded(header, array_size) as (image, _):
        return image.read(len(header))


def backup_of(header: bytes) -> bytes:
    """The backup of a header area in whole blocks, with all copies whole."""
    keep = named(whole_copies(header)) | {block for place in header_places(header) for block in place.blocks}
    backup = bytearray(len(header))
    copy_blocks(backup, header, keep)
    return bytes(backup)


def identify(header: bytes) -> Identity:
    """Whose header it is; raises :class:`NoBackup` for what is none, or is cut off."""
    try:
        length = header_length(header[:PROBE_LENGTH])
        if len(header) < length:
            raise NoBackup("it is cut off")
        with loaded(header[:length], _ANY_SIZE) as (_, device):
            return _identity(header, device)
    except ContainerUnsupported as error:
        raise NoBackup(error.context["reason"]) from error


def restored(header: bytes, backup: bytes) -> bytes:
    """The header area ``header`` with what ``backup`` holds; the rest of its key material is zero.

    Both in whole blocks; ``backup`` may be shorter or longer than what the medium was thought to need.
    """
    length = max(len(header), len(backup))
    wanted = bytearray(header.ljust(length, b"\0"))
    copy_blocks(wanted, bytes(length), named(whole_copies(header)))
    places = {block for place in header_places(backup) for block in place.blocks}
    copy_blocks(wanted, backup, places | named(whole_copies(backup)))
    return bytes(wanted)


def _identity(header: bytes, device: LuksDevice) -> Identity:
    facts = judge(describe(device), _ANY_SIZE)
    return Identity(
        version=facts.version,
        uuid=facts.uuid,
        cipher=str(facts.cipher_name),
        key_size=facts.key_size,
        sector_size=facts.sector_size,
        payload_offset=facts.payload_offset,
        volume_key=_digest_2(device) if is_luks2(header) else header[_DIGEST_1].hex(),
    )


def _digest_2(device: LuksDevice) -> str:
    """The digest of the data's segment (LUKS2 on-disk format, section 3.6); unbound keys have others."""
    digests = json.loads(device.metadata())["digests"].values()
    return next((f"{each['salt']} {each['digest']}" for each in digests if each["segments"]), "")
