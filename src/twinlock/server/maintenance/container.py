"""What tasks on keys and headers have to work with: what the container lies on, an array or a bare disk."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from twinlock.block.bare import BareStore
from twinlock.block.mirror.assembly import Judgement
from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import ContainerUnsupported, HeaderBackupUnusable
from twinlock.luks.opening import Attempt
from twinlock.server.bare import open_bare
from twinlock.server.container_header import FoundHeader, find_header
from twinlock.server.derivation import one_derivation
from twinlock.server.header_store import HeaderStore
from twinlock.server.maintenance.context import Context
from twinlock.server.memory import available_memory
from twinlock.server.rescue import try_everywhere

_T = TypeVar("_T")

_NOT_WRITTEN = (MemberState.FAULTY, MemberState.MISSING)


@dataclass(frozen=True, slots=True)
class Container:
    """The container of one volume."""

    context: Context
    source: Mirror | BareStore | Judgement

    @property
    def name(self) -> str:
        """The volume's name."""
        return self.context.spec.name

    @property
    def size(self) -> int:
        """Bytes below the container."""
        return self.source.size

    @property
    def found(self) -> FoundHeader:
        """The header as it is, and as it should be; raises ContainerUnsupported."""
        return find_header(self.source, HeaderStore.of(self.context.spec))

    @property
    def header(self) -> bytes:
        """The header as it should be; raises ContainerUnsupported."""
        return self.found.good

    def with_key(self, number: int | None, act: Callable[[bytes, Attempt], _T]) -> tuple[_T, FoundHeader]:
        """What ``act`` says of the header, and the header that it opened; raises WrongPassphrase.

        One derivation at a time, in the memory that there is.  ``number``: that keyslot alone is tried.
        """
        with one_derivation(self.context.derivation_lock):
            free = available_memory(swap=True)
            return try_everywhere(
                self.found,
                self.source,
                lambda header, each: act(header, Attempt(self.name, each, free)),
                number=number,
            )

    @property
    def store(self) -> HeaderStore:
        """Where backups are; raises HeaderBackupUnusable if nowhere."""
        store = HeaderStore.of(self.context.spec)
        if store is None:
            raise HeaderBackupUnusable(path="(no folder)", reason="there is no place to keep one")
        return store

    @property
    def backups(self) -> int:
        """How many backups of the header are kept."""
        store = HeaderStore.of(self.context.spec)
        return 0 if store is None else len(store.backups())

    @property
    def away(self) -> tuple[str, ...]:
        """Members that a change just made did not reach: they are not there, or failed."""
        status = self.writable().status()
        there = {member.path for member in status.members if member.state not in _NOT_WRITTEN}
        return tuple(path for path in self.context.spec.members if path not in there)

    def writable(self) -> Mirror | BareStore:
        """What can be written to; an array is started for it, unless nobody waits any more."""
        self.context.refuse_unwanted()
        return self.context.mirror if isinstance(self.source, Judgement) else self.source


@contextlib.contextmanager
def container_of(context: Context, *, unreadable: bool = False) -> Iterator[Container]:
    """The volume's container; raises ContainerUnsupported if it has none, or what opening it does.

    ``unreadable``: its header may be beyond reading.
    """
    if not context.spec.encrypted:
        raise ContainerUnsupported(reason=f"volume '{context.spec.name}' is not encrypted, so it has no keys")
    with contextlib.ExitStack() as undo:
        yield Container(context, _source(context, undo, unreadable=unreadable))


def _source(
    context: Context, undo: contextlib.ExitStack, *, unreadable: bool
) -> Mirror | BareStore | Judgement:
    if context.service is not None:
        return context.service.store
    if context.spec.layout == "bare":
        return open_bare(context.spec, undo, whatever=unreadable)
    return context.array
