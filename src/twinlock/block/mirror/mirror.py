"""The mirror: every byte on all members in sync, and a record of what may not be.

The way of the data is :mod:`twinlock.block.mirror.data_path`.  What runs in the background
(resync, clearing the bitmap, marking clean, checksums, scrub) is done in :meth:`Mirror.step`, in small
pieces, by whoever drives it; see :mod:`twinlock.block.mirror.jobs`.  Changes of members, places
and size are modules of :mod:`twinlock.block.mirror.changes`, a commit or two each.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.assembly import Assembly, Judgement, judge, start
from twinlock.block.mirror.changes.add import add_member
from twinlock.block.mirror.changes.blank import refuse_too_small
from twinlock.block.mirror.changes.grow import grow, refuse_longer
from twinlock.block.mirror.changes.leave import fail_member, remove_member
from twinlock.block.mirror.changes.places import set_places
from twinlock.block.mirror.changes.replace import (
    begin_replacement,
    refuse_during_replacement,
    resume_replacement,
)
from twinlock.block.mirror.data_path import DataPath
from twinlock.block.mirror.intent import WriteIntent
from twinlock.block.mirror.jobs import IDLE as IDLE
from twinlock.block.mirror.jobs import Jobs
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.pace import Pace
from twinlock.block.mirror.ranges import RangeLock
from twinlock.block.mirror.resync import Resync
from twinlock.block.mirror.running import Running
from twinlock.block.mirror.scrub import Scrub
from twinlock.block.mirror.scrub_status import ScrubStatus
from twinlock.block.mirror.stack import open_data
from twinlock.block.mirror.status import ArrayStatus, member_statuses
from twinlock.block.observer import Observer
from twinlock.units import round_down


class Mirror(DataPath):
    """A running array, made by :meth:`assemble`.  All of it is safe to call from several threads."""

    def __init__(self, assembly: Assembly, *, clock: Callable[[], float], observer: Observer) -> None:
        record = assembly.record
        super().__init__(record, WriteIntent(record, assembly.needed), RangeLock(), observer)
        resync = Resync(record, self._intent, self._ranges, clock=clock, observer=observer)
        self._scrub = Scrub(record, self._intent, self._ranges, clock=clock, observer=observer)
        self._running = Running(record, self._intent, self._ranges, resync, clock, observer)
        self._jobs = Jobs(self._running, self._scrub, self._flush)
        self.uuid = record.common.header.set_uuid

    @classmethod
    def assemble(
        cls,
        members: Sequence[Member],
        *,
        expected_uuid: bytes | None,
        clock: Callable[[], float],
        observer: Observer,
        tables: Path | None = None,
        checksums: bool = True,
    ) -> Self:
        """Start the array that ``members`` (from :func:`read_member`) make; some may be missing.

        ``clock`` gives seconds since 1970, ``tables`` is the folder for checksums of members that have no
        gap for them.  Raises MemberOfOtherArray, MembersDiverged, NotAMember,
        ArrayUnsupported or MemberUnusable with nothing written, and with the devices still open;
        MemberUnusable also if the start cannot be written down.
        """
        judgement = judge(members, expected_uuid=expected_uuid)
        return cls.start(judgement, clock=clock, observer=observer, tables=tables, checksums=checksums)

    @classmethod
    def start(
        cls,
        judgement: Judgement,
        *,
        clock: Callable[[], float],
        observer: Observer,
        tables: Path | None = None,
        checksums: bool = True,
    ) -> Self:
        """Start an array that was judged: the second half of :meth:`assemble`."""
        attach = partial(open_data, tables=tables, checksums=checksums)
        return cls(start(judgement, attach, clock=clock, observer=observer), clock=clock, observer=observer)

    # -- in the background ----------------------------------------------------------------------

    def step(self) -> float:
        """One bounded piece of background work; seconds until the next is due (0.0: at once).

        At least :data:`IDLE` if there is nothing to do: more may come any time.
        """
        with self._running.turn:
            return IDLE if self._closed else self._jobs.step(self.foreground)

    def limit_rate(self, minimum: int | None, maximum: int | None) -> None:
        """Bytes per second for background work, see :class:`Pace`: while the initiator works, and at most."""
        with self._running.turn:
            self._jobs.pace = Pace(self._running.clock, minimum, maximum)

    def start_scrub(self, *, repair: bool = False) -> None:
        """Begin to compare all members, on their media; see :class:`Scrub`.  Raises NotPossibleNow."""
        with self._running.turn:
            self._scrub.start(repair)

    def cancel_scrub(self) -> None:
        """End the scrub, if one runs."""
        with self._running.turn:
            self._scrub.cancel()

    @property
    def scrub_status(self) -> ScrubStatus:
        """The scrub that runs, or the last one."""
        return self._scrub.status

    def close(self) -> None:
        """Flush, clear the bitmap, mark the array clean and close the members, once the last write has ended.

        Raises WriteFailed if that cannot be put on disk: the array then stays marked active.
        """
        with self._running.still():
            if self._closed:
                return
            self._closed = True
            try:
                self._flush()  # the sweeps do so only where there is a bit to be cleared
                for _ in range(2):  # the first sweep forgets what was touched lately, the second clears it
                    self._intent.sweep(self._flush)
                self._intent.rest(self._flush)
                self._running.resync.checkpoint()
            finally:
                self._record.close()
                for member in self._record.members:
                    member.close()

    # -- members --------------------------------------------------------------------------------

    def add_member(self, device: BlockDevice) -> None:
        """Take ``device`` in: it fills a free place at once, or waits as a spare.

        A stale member of this array (failed, or away) catches up; anything else on the device is lost.
        The array has the device from now on, unless this raises: MemberTooSmall, MemberUnusable,
        MembersDiverged, NotPossibleNow, or DeviceError if the change cannot be written down.
        """
        add_member(self._running, device, self._jobs.reserved())

    def fail_member(self, path: str) -> None:
        """Call a member faulty and let go of it.  Raises NoSuchMember, MemberNeeded."""
        fail_member(self._running, path)

    def remove_member(self, path: str) -> None:
        """As :meth:`fail_member`, and forget it; its place stays.  Raises NoSuchMember, MemberNeeded."""
        remove_member(self._running, path)

    def replace_member(self, path: str, device: BlockDevice) -> None:
        """Fill ``device``, and then let go of ``path``, which takes part until then.

        Raises NoSuchMember, NotPossibleNow (one at a time), and as :meth:`add_member`.
        """
        with self._running.turn:
            self._jobs.replacement = begin_replacement(self._running, self._jobs.replacement, path, device)

    def resume_replacement(self, path: str, new_path: str) -> None:
        """Go on with a replacement that a restart cut off.  Raises NoSuchMember, NotPossibleNow."""
        with self._running.turn:
            self._jobs.replacement = resume_replacement(self._running, path, new_path)

    def set_places(self, count: int) -> None:
        """Let the array have ``count`` members; spares fill new places.  Raises NotPossibleNow."""
        with self._running.turn:
            refuse_during_replacement(self._jobs.replacement)
            set_places(self._running, count)

    def grow(self, size: int | None = None) -> int:
        """Let the array have ``size`` bytes, or all that the members have room for; its size from now on.

        Raises CannotGrow, NotPossibleNow, or DeviceError if it cannot be written down.
        """
        with self._running.turn:
            refuse_during_replacement(self._jobs.replacement)
            grow(self._running, size, self._jobs.renew)
            self.size = round_down(self._record.size, self.block_size)
            return self.size

    def refuse_too_small_member(self, path: str, size: int) -> None:
        """Raise MemberTooSmall if a new member of ``size`` bytes cannot hold the array."""
        refuse_too_small(self._record, size, path)

    def refuse_longer_members(self) -> None:
        """Raise CannotGrow if members must not be made longer: 1.0 and 0.90 end with their superblock."""
        refuse_longer(self._record)

    # -- facts ----------------------------------------------------------------------------------

    def status(self) -> ArrayStatus:
        """The array and its members as they are now."""
        record, replacement = self._record, self._jobs.replacement
        return ArrayStatus(
            uuid=self.uuid,
            name=record.common.name,
            size=self.size,
            events=record.events,
            degraded=record.degraded,
            dirty=self._intent.active,
            chunk_size=record.bitmap.header.chunksize,
            marked_chunks=self._intent.marked,
            members=member_statuses(tuple(record.members), record.places),
            version=record.readers[0].metadata.version,
            places=record.places,
            jobs=self._jobs.under_way,
            replacing=None if replacement is None else replacement.old.path,
        )
