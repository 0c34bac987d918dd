"""Parameter lists of EXTENDED COPY, put together by hand."""

from collections.abc import Sequence

from tests.unit.scsi.support import UUID
from twinlock.scsi.identity import Identity

NAA = Identity.of_array(UUID).naa
COPY = 0x83
RESULTS = 0x84


def target(
    naa: bytes = NAA,
    *,
    code: int = 0xE4,
    device: int = 0,
    flags: int = 0,
    block: int = 512,
    association: int = 0,
) -> bytes:
    """An identification descriptor CSCD descriptor."""
    designator = bytes([1, association << 4 | 3, 0, len(naa)]) + naa.ljust(20, b"\0")
    return bytes([code, flags | device, 0, 0]) + designator + bytes([0, *block.to_bytes(3, "big")])


def segment(
    source: int,
    destination: int,
    count: int,
    *,
    ids: tuple[int, int] = (0, 0),
    code: int = 2,
    length: int = 0x18,
) -> bytes:
    """A block device to block device segment descriptor."""
    head = bytes([code, 0, *length.to_bytes(2, "big")])
    head += b"".join(each.to_bytes(2, "big") for each in ids)
    return (
        head
        + bytes(2)
        + count.to_bytes(2, "big")
        + source.to_bytes(8, "big")
        + destination.to_bytes(8, "big")
    )


def parameters(
    targets: Sequence[bytes],
    segments: Sequence[bytes],
    *,
    identifier: int = 1,
    usage: int = 0,
    inline: int = 0,
) -> bytes:
    """The whole list."""
    head = bytes([identifier, usage << 3]) + len(b"".join(targets)).to_bytes(2, "big") + bytes(4)
    head += len(b"".join(segments)).to_bytes(4, "big") + inline.to_bytes(4, "big")
    return head + b"".join(targets) + b"".join(segments) + bytes(inline)


def extended_copy(length: int) -> bytes:
    """The CDB."""
    return bytes([COPY, 0, *bytes(8), *length.to_bytes(4, "big"), 0, 0])


def receive(action: int, identifier: int = 1, room: int = 1024) -> bytes:
    """The CDB of RECEIVE COPY RESULTS."""
    return bytes([RESULTS, action, identifier, *bytes(7), *room.to_bytes(4, "big"), 0, 0])
