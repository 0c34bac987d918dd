"""Which superblock does a device have?

Each version has a place of its own, and a device that lived through several arrays can have several.
mdadm takes the one that was created last; a kernel that assembles by itself takes 0.90, if the
partition's type says so.  Where the field's own tools may disagree on whose data these are, nothing is
guessed here: two intact superblocks are refused.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.layout import SUPERBLOCK_SIZE
from twinlock.block.mirror.metadata import version0, version1
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.served import check_blocks, check_geometry, unserved
from twinlock.block.mirror.superblock import MAGIC, Superblock
from twinlock.errors import ArrayUnsupported, DeviceError, NotAMember

_WORD = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A superblock; ``fault`` says why it cannot be believed, if so."""

    metadata: Metadata
    superblock: Superblock
    fault: str | None = None


_Reader: TypeAlias = Callable[[Buffer, int, str], Found | None]


def find(device: BlockDevice, path: str) -> Found:
    """The one intact superblock of ``device``, of whatever version, served or not.

    Raises NotAMember if there is none, ArrayUnsupported if there are two or it is of a kind that is
    not read, and DeviceError if there is none and a place cannot be read.
    """
    if device.size < version1.VERSION_1_2.offset + SUPERBLOCK_SIZE:
        raise NotAMember(path=path, reason="it is too small to be one")
    candidates, error = _candidates(device, path)
    intact = [found for found in candidates if found.fault is None]
    if len(intact) > 1:
        raise ArrayUnsupported(path=path, feature=_several(intact))
    if intact:
        return intact[0]
    if error is not None:
        raise error
    fault = candidates[0].fault if candidates else None
    raise NotAMember(path=path, reason=fault or "it has no md superblock")


def read_superblock(device: BlockDevice, path: str) -> Found:
    """The superblock of a member of a mirror, found valid and served.

    Raises NotAMember if there is none or it is damaged, and ArrayUnsupported, by name, for what
    twinlock does not serve.  DeviceError passes through.
    """
    found = find(device, path)
    feature = found.metadata.unserved() or unserved(found.superblock)
    if feature is not None:
        raise ArrayUnsupported(path=path, feature=feature)
    check_geometry(found.superblock, found.metadata, device.size, path)
    check_blocks(found.superblock, found.metadata, device.block_size, path)
    return found


def _several(intact: list[Found]) -> str:
    versions = " and ".join(found.metadata.version for found in intact)
    return (
        f"several md superblocks, of metadata {versions} (clear the one that is wrong: "
        "mdadm --zero-superblock --metadata=VERSION)"
    )


def _candidates(device: BlockDevice, path: str) -> tuple[list[Found], DeviceError | None]:
    """All superblocks in their places, and the first error of a place that could not be read."""
    found, first = [], None
    for offset, read in _places(device.size):
        if offset < 0 or offset % device.block_size or offset + SUPERBLOCK_SIZE > device.size:
            continue
        try:
            page = device.read(offset, SUPERBLOCK_SIZE)
        except DeviceError as error:
            first = first or error
            continue
        candidate = read(page, offset, path)
        if candidate is not None:
            found.append(candidate)
    return found, first


def _places(size: int) -> Iterator[tuple[int, _Reader]]:
    for kind in (version1.VERSION_1_2, version1.VERSION_1_1, version1.version_1_0(size)):
        yield kind.offset, _read_version_1(kind)
    yield version0.place(size), _read_version_0


def _read_version_1(kind: version1.Version1) -> _Reader:
    def read(page: Buffer, offset: int, _path: str) -> Found | None:
        if _word(page, 0) != MAGIC:
            return None
        if _word(page, 1) != version1.MAJOR:
            return Found(kind, Superblock.parse(page), "its superblock is not in its place")
        superblock, fault = version1.read(page, offset)
        return Found(kind, superblock, fault)

    return read


def _read_version_0(page: Buffer, offset: int, path: str) -> Found | None:
    if MAGIC not in (_word(page, 0), int.from_bytes(memoryview(page)[:_WORD], "big")):
        return None
    metadata = version0.Version0("0.90", offset, bytes(page), path)
    if _word(page, 1) != version0.MAJOR:
        return Found(metadata, Superblock.parse(page), "its superblock is not in its place")
    superblock, fault = metadata.parse()
    return Found(metadata, superblock, fault)


def _word(page: Buffer, number: int) -> int:
    return int.from_bytes(memoryview(page)[number * _WORD : (number + 1) * _WORD], "little")
