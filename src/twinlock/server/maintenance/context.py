"""What a task has to work with: the array of an open volume, or that of a locked one."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Self

from twinlock.block.bare import BareStore
from twinlock.block.mirror.assembly import Judgement
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import InternalError, NotPossibleNow, TwinlockError
from twinlock.server.bare import open_bare
from twinlock.server.messages import VolumeSpec
from twinlock.server.service import Service
from twinlock.server.volume import container_facts, judge_members, start_mirror, take_members
from twinlock.units import SECTOR


class Context:
    """``service`` is None while the volume is locked: then the array is assembled once it is asked for.

    ``wanted()`` is False once whoever asked is gone, or the worker is told to stop: what has not begun
    to write ends then.  ``derivation_lock``: see :func:`twinlock.server.derivation.one_derivation`.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        service: Service | None,
        *,
        wanted: Callable[[], bool],
        derivation_lock: Path,
    ) -> None:
        self.spec = spec
        self.service = service
        self.wanted = wanted
        self.derivation_lock = derivation_lock
        self._undo = contextlib.ExitStack()
        self._taken: tuple[list[Member], dict[str, TwinlockError]] | None = None
        self._judgement: Judgement | BareStore | None = None
        self._mirror: Mirror | None = None

    @property
    def array(self) -> Mirror | Judgement | BareStore:
        """The array for reads (``read``, ``size``): of a locked volume nothing is written, nothing starts."""
        if self.service is not None:
            return self.service.store
        if self._mirror is not None:
            return self._mirror
        if self._judgement is None:
            take = open_bare if self.spec.layout == "bare" else judge_members
            self._judgement = take(self.spec, self._undo)
        return self._judgement

    @property
    def running(self) -> Mirror | None:
        """The array if it runs already."""
        return self._mirror if self.service is None else self.service.mirror

    @property
    def mirror(self) -> Mirror:
        """The array, running; that of a locked volume is started, which its members' superblocks note."""
        self.refuse_bare()
        array = self.array
        if isinstance(array, Mirror):
            return array
        assert isinstance(array, Judgement)
        self._mirror = start_mirror(array, self.spec)
        self._undo.callback(self._mirror.close)
        return self._mirror

    @property
    def medium(self) -> Mirror | BareStore:
        """The array, running, or the bare device: what the container's header is written to."""
        array = self.array
        return array if isinstance(array, BareStore) else self.mirror

    @property
    def block_size(self) -> int:
        """Bytes of the blocks that the initiator sees."""
        if self.service is not None:
            return self.service.volume.unit.geometry.block_size
        if self.spec.encrypted:
            return container_facts(self.array).sector_size
        return self.spec.block_size or SECTOR

    def take_members(self) -> tuple[list[Member], dict[str, TwinlockError]]:
        """Those of a locked volume, held, as they are: nothing is judged or started."""
        if self._taken is None:
            self._taken = take_members(self.spec, self._undo)
        return self._taken

    def note_members(self, members: tuple[str, ...], leaving: tuple[str, ...], copies: int | None) -> None:
        """These are the members from now on."""
        change = {"members": members, "leaving": leaving, "copies": copies}
        self.spec = self.spec.model_copy(update=change)
        if self.service is not None:
            self.service.note_members(self.spec)

    def refuse_bare(self) -> None:
        """Raise NotPossibleNow for a disk that is served in place: it has no mirror."""
        if self.spec.layout == "bare":
            reason = "the volume is one disk, served where it was found, without a mirror"
            raise NotPossibleNow(reason=f"{reason}; to have one, make a new volume and copy the files")

    def refuse_unwanted(self) -> None:
        """Raise InternalError if nobody waits for the task any more; called before the first write."""
        if not self.wanted():
            raise InternalError(reason="the command was interrupted")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close what was opened for this task alone; raises DeviceError if that cannot be flushed."""
        self._undo.close()
