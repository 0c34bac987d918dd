"""What the data path reports, in the worker's log."""

import logging

from twinlock.block.mirror.scrub_status import ScrubState, ScrubStatus
from twinlock.errors import DeviceError
from twinlock.units import format_size

log = logging.getLogger(__name__)


class News:
    """The mirror's observer (:class:`twinlock.block.observer.Observer`)."""

    def __init__(self, volume: str) -> None:
        self._volume = volume

    def member_failed(self, index: int, error: DeviceError) -> None:
        """The array is degraded from now on."""
        log.error("volume %s: member %d failed and is out of the array: %s", self._volume, index, error)

    def read_repaired(self, index: int, offset: int, length: int) -> None:
        """Nothing is lost."""
        log.warning(
            "volume %s: member %d could not read %d bytes at %d; rewritten",
            self._volume,
            index,
            length,
            offset,
        )

    def checksum_wrong(self, index: int, offset: int, length: int) -> None:
        """A line for the medium's owner: this disk does not keep what it is given."""
        log.warning(
            "volume %s: member %d gave wrong data at %d (%d bytes): their checksum is another",
            self._volume,
            index,
            offset,
            length,
        )

    def checksums_lost(self, index: int, error: DeviceError) -> None:
        """Nothing else is lost; they are made anew after the next start."""
        log.error(
            "volume %s: the checksums of member %d are not kept any more, nor are its data checked: %s",
            self._volume,
            index,
            error,
        )

    def copies_differ(self, offset: int, length: int) -> None:
        """Which of them is right can only be guessed: a scrub with repair does."""
        log.warning("volume %s: the members differ at %d (%d bytes)", self._volume, offset, length)

    def block_lost(self, offset: int, length: int) -> None:
        """It can be had from a backup only, or written anew."""
        log.error(
            "volume %s: %d bytes at %d of the array cannot be had from any member",
            self._volume,
            length,
            offset,
        )

    def record_rewritten(self, index: int, what: str) -> None:
        """Nothing is lost, but this disk does not keep what it is given."""
        log.warning(
            "volume %s: member %d: its %s on the medium was wrong; rewritten", self._volume, index, what
        )

    def space_exhausted(self, index: int, error: DeviceError) -> None:
        """Writes are refused until there is room."""
        log.error("volume %s: there is no room under member %d: %s", self._volume, index, error)

    def resync_progress(self, done: int, total: int) -> None:
        """The end is worth a line."""
        if done == total:
            log.info("volume %s: resync of %s is complete", self._volume, format_size(total))

    def resync_stalled(self, error: DeviceError) -> None:
        """It goes on later."""
        log.warning("volume %s: resync waits: %s", self._volume, error)

    def scrub_over(self, status: ScrubStatus) -> None:
        """The result, in one line; worth a second look if anything was found."""
        level = logging.WARNING if status.findings or status.state is ScrubState.FAILED else logging.INFO
        log.log(level, "volume %s: scrub %s: %s", self._volume, status.state, status.sentence)
