"""News from the data path: what happened that nobody asked for.

Calls come from whichever thread met the event, while locks are held: an observer
notes and returns.  ``index`` is the member's role, its number in the array.
"""

from typing import Protocol

from twinlock.block.mirror.scrub_status import ScrubStatus
from twinlock.errors import DeviceError


class Observer(Protocol):
    """Who wants to know.  One is handed to a device when it is made."""

    def member_failed(self, index: int, error: DeviceError) -> None:
        """The member is out of the array; nothing succeeds until the others' superblocks say so."""

    def read_repaired(self, index: int, offset: int, length: int) -> None:
        """A part that the member could not read was answered from another one and rewritten (bytes)."""

    def checksum_wrong(self, index: int, offset: int, length: int) -> None:
        """What the member gave is not what was written there; that it was put right is another call."""

    def checksums_lost(self, index: int, error: DeviceError) -> None:
        """The file of the member's checksums failed: its data are in use, and not checked any more."""

    def copies_differ(self, offset: int, length: int) -> None:
        """Members hold different contents (bytes of the array), and no checksum says whose are right."""

    def block_lost(self, offset: int, length: int) -> None:
        """A scrub found a part of the array that no member can give (bytes)."""

    def record_rewritten(self, index: int, what: str) -> None:
        """A scrub found the member's own superblock, bitmap or checksums to be others on its medium."""

    def space_exhausted(self, index: int, error: DeviceError) -> None:
        """The file system under the member is full; nothing has failed."""

    def resync_progress(self, done: int, total: int) -> None:
        """So many bytes of the chunks to copy are copied; both equal: finished."""

    def resync_stalled(self, error: DeviceError) -> None:
        """Some chunks cannot be copied for now; they are tried again later."""

    def scrub_over(self, status: ScrubStatus) -> None:
        """A scrub is finished, was cancelled, or cannot go on."""


class SilentObserver:
    """Nobody wants to know."""

    def member_failed(self, index: int, error: DeviceError) -> None:
        """Nothing."""

    def read_repaired(self, index: int, offset: int, length: int) -> None:
        """Nothing."""

    def checksum_wrong(self, index: int, offset: int, length: int) -> None:
        """Nothing."""

    def checksums_lost(self, index: int, error: DeviceError) -> None:
        """Nothing."""

    def copies_differ(self, offset: int, length: int) -> None:
        """Nothing."""

    def block_lost(self, offset: int, length: int) -> None:
        """Nothing."""

    def record_rewritten(self, index: int, what: str) -> None:
        """Nothing."""

    def space_exhausted(self, index: int, error: DeviceError) -> None:
        """Nothing."""

    def resync_progress(self, done: int, total: int) -> None:
        """Nothing."""

    def resync_stalled(self, error: DeviceError) -> None:
        """Nothing."""

    def scrub_over(self, status: ScrubStatus) -> None:
        """Nothing."""
