"""What the data path reports, in the worker's log."""

import logging

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
