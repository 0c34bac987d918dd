"""What lies in an array, or on a device that belongs to none: a container, or contents that can be read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from typing_extensions import Buffer

from twinlock.block.signatures import Partition, Signature, partitions, probe_all
from twinlock.errors import CannotImport, ContainerUnsupported
from twinlock.luks.container import PROBE_LENGTH, header_length, inspect_container
from twinlock.luks.facts import ContainerFacts
from twinlock.server.takeover import kinds
from twinlock.server.takeover.facts import FoundContainer
from twinlock.units import format_size, round_down

_MAGIC = b"LUKS"
_REENCRYPTED = b"LUKS\xde\xad"
"""What cryptsetup before 2.2 wrote over the magic number while it reencrypted a LUKS1 container."""
_EDGE = 1 << 20
_LISTED = 16
"""Partitions that are listed; more are only counted."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to be looked at: ``read`` gives them, and libblkid finds them at ``offset`` of ``path``."""

    path: str
    offset: int
    size: int
    block_size: int
    read: Callable[[int, int], Buffer]


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found; ``size`` and ``block_size`` as the initiator will see them."""

    size: int
    block_size: int
    container: FoundContainer | None = None
    target: str | None = None
    listing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    label: str = ""


def look_inside(source: Source) -> Contents:
    """What lies there; raises CannotImport or ContainerUnsupported for what is not served, by name."""
    signatures = probe_all(source.path, source.offset, source.size)
    first = bytes(source.read(0, min(source.block_size, source.size)))
    if first.startswith(_REENCRYPTED):
        raise ContainerUnsupported(
            reason="a reencryption of it is unfinished (finish that with cryptsetup-reencrypt first)"
        )
    if first.startswith(_MAGIC) or any(found.type == kinds.CONTAINER for found in signatures):
        return _container(source, signatures)
    kinds.refuse(source.path, signatures)
    return _plain(source, signatures)


def read_header(source: Source) -> Buffer:
    """The container's header area, whole."""
    length = header_length(source.read(0, min(PROBE_LENGTH, round_down(source.size, source.block_size))))
    return source.read(0, length)


def _container(source: Source, signatures: Sequence[Signature]) -> Contents:
    facts = inspect_container(read_header(source), array_size=source.size)
    block_size = max(facts.sector_size, source.block_size)
    if facts.payload_offset % block_size:
        raise ContainerUnsupported(reason=f"its payload does not begin on a block of {block_size} bytes")
    label = next((found.label for found in signatures if found.type == kinds.CONTAINER), "")
    return Contents(
        size=round_down(facts.payload_size, block_size),
        block_size=block_size,
        container=_found(facts, label),
        target=facts.target_name,
        label=label,
    )


def _found(facts: ContainerFacts, label: str) -> FoundContainer:
    return FoundContainer(
        uuid=UUID(facts.uuid),
        version=facts.version,
        cipher=str(facts.cipher_name),
        key_bits=8 * facts.key_size,
        sector_size=facts.sector_size,
        label=label,
    )


# -- contents that can be read --------------------------------------------------------------------


def _plain(source: Source, signatures: Sequence[Signature]) -> Contents:
    listing = [str(found) for found in signatures]
    if not listing:
        _refuse_blank(source)
        listing = ["contents of a kind that is not known (encrypted without a header, perhaps)"]
    table = partitions(source.path, source.offset, source.size)
    inside = [(entry, _inside(source, entry)) for entry in table[:_LISTED]]
    listing += [_describe(entry, found) for entry, found in inside]
    if len(table) > _LISTED:
        listing.append(f"and {len(table) - _LISTED} more partitions")
    return Contents(
        size=round_down(source.size, source.block_size),
        block_size=source.block_size,
        listing=tuple(listing),
        remarks=tuple(dict.fromkeys((*kinds.remarks(signatures), *_partition_remarks(inside)))),
        label=next((found.label for found in signatures if found.label), ""),
    )


def _refuse_blank(source: Source) -> None:
    """Nothing would be lost by making a volume of it, and a mistake is likelier."""
    length = round_down(min(_EDGE, source.size), source.block_size)
    last = round_down(source.size, source.block_size) - length
    if not any(any(memoryview(source.read(start, length))) for start in (0, last)):
        raise CannotImport(path=source.path, reason="it is blank (twinlock create makes a volume of it)")


def _inside(source: Source, entry: Partition) -> tuple[Signature, ...]:
    """The signatures in a partition; none in one that is not there, or of an extended partition."""
    if entry.size <= 1024 or entry.start + entry.size > source.size:
        return ()
    return probe_all(source.path, source.offset + entry.start, entry.size)


def _describe(entry: Partition, found: Sequence[Signature]) -> str:
    what = ", ".join(map(str, found)) or "nothing that is known"
    return f"partition {entry.number}, {format_size(entry.size)}: {what}"


def _partition_remarks(inside: Sequence[tuple[Partition, Sequence[Signature]]]) -> Iterator[str]:
    for entry, signatures in inside:
        yield from kinds.remarks(signatures)
        names = {found.type for found in signatures}
        if kinds.MD_MEMBER in names:
            yield f"Partition {entry.number} is a member of an array: to take that over, name the partition."
        elif kinds.CONTAINER in names:
            yield (
                f"Partition {entry.number} is encrypted: it is served as it is, and the initiator has to "
                "open it; to have twinlock open it, name the partition."
            )
