"""Parameter lists, nearly right: the lengths and descriptors that parsers trust."""

from collections.abc import Callable
from typing import Any

from tests.fuzz.choices import Choices


def _number(choices: Choices, right: int, size: int) -> bytes:
    """Mostly ``right``; else any number of that size."""
    value = right if choices.chance(85) else choices.number(size)
    return (value & (1 << 8 * size) - 1).to_bytes(size, "big")


def _spoil(choices: Choices, data: bytes) -> bytes:
    """Now and then cut, extended or with a byte changed."""
    if choices.chance(85) or not data:
        return data
    spoiled = bytearray(data)
    for _ in range(choices.below(4) + 1):
        spoiled[choices.below(len(spoiled))] = choices.byte()
    return (
        bytes(spoiled[: choices.below(len(spoiled) + 1)]) if choices.chance(50) else bytes(spoiled + b"\0\1")
    )


def unmap(choices: Choices, disk: Any) -> bytes:
    """SBC-3 UNMAP parameter list."""
    descriptors = b"".join(
        _number(choices, choices.below(disk.blocks), 8) + _number(choices, choices.below(20), 4) + bytes(4)
        for _ in range(choices.pick((1, 2, 0, 5)))
    )
    lengths = _number(choices, 6 + len(descriptors), 2) + _number(choices, len(descriptors), 2)
    return _spoil(choices, lengths + bytes(4) + descriptors)


def _pages(choices: Choices) -> bytes:
    return b"".join(_page(choices) for _ in range(choices.pick((1, 1, 2, 0))))


def _page(choices: Choices) -> bytes:
    """A mode page with the length that its standard gives it, and bits of its own."""
    code, length = choices.pick(((0x0A, 0x0A), (0x08, 0x12), (0x01, 0x0A), (0x1C, 0x0A), (choices.byte(), 4)))
    content = bytearray(length)
    for _ in range(choices.below(4)):
        content[choices.below(length)] = choices.byte()
    return bytes([code]) + _number(choices, length, 1) + bytes(content)


def _block_descriptor(choices: Choices, disk: Any) -> bytes:
    if choices.chance(60):
        return b""
    return _number(choices, disk.blocks, 4) + bytes(1) + _number(choices, disk.block_size, 3)


def mode_select_6(choices: Choices, disk: Any) -> bytes:
    """SPC-4 mode parameter list with a header(6)."""
    block = _block_descriptor(choices, disk)
    return _spoil(choices, bytes(3) + _number(choices, len(block), 1) + block + _pages(choices))


def mode_select_10(choices: Choices, disk: Any) -> bytes:
    """SPC-4 mode parameter list with a header(10)."""
    block = _block_descriptor(choices, disk)
    return _spoil(choices, bytes(6) + _number(choices, len(block), 2) + block + _pages(choices))


def reserve_out(choices: Choices, _disk: Any) -> bytes:
    """SPC-4 PERSISTENT RESERVE OUT parameter list; few keys, so that some are the registered ones."""
    keys = b"".join(bytes(7) + bytes([choices.below(3)]) for _ in range(2))
    flags = bytes([choices.pick((0, 0, 1, 4, 8, 0xFF))])
    if choices.chance(85):
        return _spoil(choices, keys + bytes(4) + flags + bytes(3))
    transport = b"\x45\0" + _number(choices, 20, 2) + b"iqn.2026-11.test:a\0\0"
    return _spoil(
        choices, keys + bytes(4) + flags + bytes(3) + _number(choices, len(transport), 4) + transport
    )


def extended_copy(choices: Choices, disk: Any) -> bytes:
    """SPC-4 EXTENDED COPY (LID1 and LID4 have the same header length): targets, then segments."""
    targets = b"".join(_copy_target(choices, disk) for _ in range(choices.pick((1, 2, 0, 3))))
    segments = b"".join(_copy_segment(choices, disk) for _ in range(choices.pick((1, 2, 0))))
    header = bytes([choices.byte(), choices.pick((0, 0x20, 0x38)) | choices.below(8)])
    header += _number(choices, len(targets), 2) + bytes(4)
    header += _number(choices, len(segments), 4) + _number(choices, 0, 4)
    return _spoil(choices, header + targets + segments)


def _copy_target(choices: Choices, disk: Any) -> bytes:
    """An identification descriptor (E4h) with an NAA designator, and the block length of a disk."""
    kind = choices.pick((0xE4, 0xE4, 0xE4, 0xE0, choices.byte()))
    designator = bytes([1, 3, 0]) + _number(choices, 8, 1) + choices.bytes(8)
    body = bytes([kind, 0, 0, 0]) + designator.ljust(24, b"\0")
    return body + bytes(1) + _number(choices, disk.block_size, 3)


def _copy_segment(choices: Choices, disk: Any) -> bytes:
    """Block device to block device (02h)."""
    kind = choices.pick((0x02, 0x02, 0x02, 0x0A, choices.byte()))
    return (
        bytes([kind, choices.below(4)])
        + _number(choices, 0x18, 2)
        + _number(choices, choices.below(2), 2)
        + _number(choices, choices.below(2), 2)
        + bytes(2)
        + _number(choices, choices.below(20), 2)
        + _number(choices, choices.below(disk.blocks), 8)
        + _number(choices, choices.below(disk.blocks), 8)
    )


PARAMETER_LISTS: dict[tuple[int, int | None], Callable[[Choices, Any], bytes]] = {
    (0x15, None): mode_select_6,
    (0x42, None): unmap,
    (0x55, None): mode_select_10,
    (0x5F, None): reserve_out,
    (0x83, None): extended_copy,
}
"""By operation code (and service action, None for all)."""
