"""What lies in an array, or on a device that belongs to none: a container, or contents that can be read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from typing_extensions import Buffer

from twinlock.block.signatures import Partition, Signature, partitions, probe_all
from twinlock.errors import CannotImport, ContainerUnsupported
from twinlock.luks.container import inspect_container
from twinlock.luks.copies import BLOCK
from twinlock.luks.facts import ContainerFacts
from twinlock.server.container_header import Readable, find_header, read_leniently
from twinlock.server.takeover import kinds
from twinlock.server.takeover.facts import FoundContainer
from twinlock.units import format_size, round_down

_MAGIC = b"LUKS"
_REENCRYPTED = b"LUKS\xde\xad"
"""What cryptsetup before 2.2 wrote over the magic number while it reencrypted a LUKS1 container."""
_EDGE = 1 << 20
_RESCUED = (
    "On one member no copy of the container's header is whole. That of another member is taken, and written "
    "back at the unlock."
)
_LISTED = 16
"""Partitions that are listed; more are only counted."""


@dataclass(frozen=True, slots=True)
class Source:
    """Bytes to be looked at: those of ``whole``, which libblkid finds at ``offset`` of ``path``.

    ``parts`` gives what each member in sync holds of them, one by one; see :mod:`twinlock.luks.rescue`.
    """

    path: str
    offset: int
    block_size: int
    whole: Readable
    parts: Callable[[], Sequence[Readable]]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.whole.size

    def read(self, offset: int, length: int) -> Buffer:
        """What there is; raises MediumError if nobody can read it."""
        return self.whole.read(offset, length)

    def copies(self) -> Sequence[Readable]:
        """See :class:`twinlock.server.container_header.Source`."""
        return self.parts()


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
    if not signatures and _begins_elsewhere(source):
        return _container(source, signatures)
    kinds.refuse(source.path, signatures)
    return _plain(source, signatures)


def _begins_elsewhere(source: Source) -> bool:
    """Whether a container begins on a member, though not on the one that answers: that was damaged, then."""
    return any(read_leniently(part, BLOCK).startswith(_MAGIC) for part in source.copies())


def _container(source: Source, signatures: Sequence[Signature]) -> Contents:
    header = find_header(source, None)
    facts = inspect_container(header.good, array_size=source.size)
    block_size = max(facts.sector_size, source.block_size)
    if facts.payload_offset % block_size:
        raise ContainerUnsupported(reason=f"its payload does not begin on a block of {block_size} bytes")
    label = next((found.label for found in signatures if found.type == kinds.CONTAINER), "")
    return Contents(
        size=round_down(facts.payload_size, block_size),
        block_size=block_size,
        container=_found(facts, label),
        target=facts.target_name,
        remarks=(_RESCUED,) if header.is_rescued else (),
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
