"""What a container's header says, and whether twinlock serves such a container.

LUKS2 tells it as JSON (LUKS2 on-disk format, section 3), LUKS1 in fixed fields;
both become one description.  What is not served is refused by name.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twinlock.errors import ContainerUnsupported
from twinlock.luks.device import LuksDevice
from twinlock.luks.tokens import target_name_in
from twinlock.native import CipherName
from twinlock.native.cipher import KEY_SIZES, SECTOR_SIZES
from twinlock.units import SECTOR, round_down

_SERVED = {str(name): sizes for name, sizes in KEY_SIZES.items()}


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of payload under one cipher; offset and size in bytes, size None to the end of the device."""

    kind: str
    cipher: str
    sector_size: int
    offset: int
    size: int | None
    iv_tweak: int
    integrity: str | None


@dataclass(frozen=True, slots=True)
class Description:
    """What the header says, whether or not it can be served."""

    version: int
    uuid: str
    key_size: int
    segments: tuple[Segment, ...]
    requirements: tuple[str, ...]
    target_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFacts:
    """A container that twinlock serves; sizes and offsets in bytes, offsets from the start of the array."""

    version: int
    uuid: str
    cipher_name: CipherName
    key_size: int
    sector_size: int
    payload_offset: int
    payload_size: int
    target_name: str | None


def describe(device: LuksDevice) -> Description:
    """What the loaded header says."""
    if device.version == 1:
        segment = Segment("crypt", device.cipher, SECTOR, device.payload_offset, None, 0, None)
        return Description(1, device.uuid, device.key_size, (segment,), (), None)
    metadata = json.loads(device.metadata())
    segments = metadata["segments"]
    requirements = metadata["config"].get("requirements", {}).get("mandatory", [])
    return Description(
        version=2,
        uuid=device.uuid,
        key_size=device.key_size,
        segments=tuple(_segment(segments[number]) for number in sorted(segments, key=int)),
        requirements=tuple(requirements),
        target_name=target_name_in(metadata),
    )


def _segment(segment: dict[str, Any]) -> Segment:
    size = segment["size"]
    return Segment(
        kind=segment["type"],
        cipher=segment.get("encryption", "no encryption"),
        sector_size=segment.get("sector_size", SECTOR),
        offset=int(segment["offset"]),
        size=None if size == "dynamic" else int(size),
        iv_tweak=int(segment.get("iv_tweak", "0")),
        integrity=segment["integrity"]["type"] if "integrity" in segment else None,
    )


_Refusal = Callable[[Description, int], str | None]
"""From the description and the array's size: why it is not served, or None."""


def _requirements(found: Description, _: int) -> str | None:
    if not found.requirements:
        return None
    return f"it requires {', '.join(found.requirements)} (finish that with cryptsetup first)"


def _keyslots(found: Description, _: int) -> str | None:
    return None if found.key_size else "none of its keyslots holds a key"


def _segments(found: Description, _: int) -> str | None:
    count = len(found.segments)
    return None if count == 1 else f"it has {count} segments; twinlock serves containers with one"


def _integrity(found: Description, _: int) -> str | None:
    integrity = found.segments[0].integrity
    return f"it uses dm-integrity ({integrity}), which twinlock does not serve" if integrity else None


def _cipher(found: Description, _: int) -> str | None:
    segment = found.segments[0]
    if segment.cipher in _SERVED and found.key_size in _SERVED[segment.cipher]:
        return None
    used = f"{segment.cipher} with a key of {8 * found.key_size} bits"
    return f"its cipher is {used}; twinlock serves {' and '.join(_SERVED)}"


def _sector_size(found: Description, _: int) -> str | None:
    size = found.segments[0].sector_size
    return None if size in SECTOR_SIZES else f"its sectors have {size} bytes"


def _iv_tweak(found: Description, _: int) -> str | None:
    tweak = found.segments[0].iv_tweak
    return f"its initialisation vectors begin at {tweak} instead of 0" if tweak else None


def _detached(found: Description, _: int) -> str | None:
    return None if found.segments[0].offset else "its header is a detached one, of a payload elsewhere"


def _cut_off(found: Description, array_size: int) -> str | None:
    segment = found.segments[0]
    end = segment.offset + (segment.size or segment.sector_size)
    return None if end <= array_size else "its payload ends beyond the array; a part of the array is missing"


_REFUSALS: tuple[_Refusal, ...] = (
    _requirements,
    _keyslots,
    _segments,
    _integrity,
    _cipher,
    _sector_size,
    _iv_tweak,
    _detached,
    _cut_off,
)


def judge(found: Description, array_size: int) -> ContainerFacts:
    """The facts of a container that is served; raises :class:`ContainerUnsupported` with the reason."""
    for refusal in _REFUSALS:
        if reason := refusal(found, array_size):
            raise ContainerUnsupported(reason=reason)
    segment = found.segments[0]
    available = segment.size if segment.size is not None else array_size - segment.offset
    return ContainerFacts(
        version=found.version,
        uuid=found.uuid,
        cipher_name=CipherName(segment.cipher),
        key_size=found.key_size,
        sector_size=segment.sector_size,
        payload_offset=segment.offset,
        payload_size=round_down(available, segment.sector_size),
        target_name=found.target_name,
    )
