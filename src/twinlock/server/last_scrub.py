"""What the last scrub of a volume found, kept in the state folder.

A scrub is good for a month, and restarts come in between.  The worker writes this once one is over; the
supervisor reads it, for a locked volume too.  A scrub that a restart cuts off leaves what was kept before.
"""

import logging
from pathlib import Path
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from twinlock.block.mirror.scrub_status import ScrubStatus
from twinlock.server.kept_file import KeptFile

log = logging.getLogger(__name__)


def scrub_file(base: str, array: UUID) -> Path:
    """The array's own file: a volume made anew under an old name has not been scrubbed."""
    return Path(f"{base}.{array}")


def last_scrub(path: Path) -> ScrubStatus | None:
    """The last scrub that came to an end, in whatever way; None if none is known."""
    try:
        kept = KeptFile(path).load()
        return None if kept is None else TypeAdapter(ScrubStatus).validate_json(kept)
    except (OSError, ValidationError) as error:
        log.error("the result of the last scrub cannot be read from %s: %s", path, error)
        return None


class ScrubKeeper:
    """Keeps in ``path`` what :meth:`note` is told.  One caller at a time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._kept: float | None = None

    @property
    def last(self) -> ScrubStatus | None:
        """What is kept."""
        return None if self._path is None else last_scrub(self._path)

    def note(self, status: ScrubStatus) -> None:
        """If that scrub is over, it is the last one.  What cannot be kept is known until the restart only."""
        if self._path is None or status.ended is None or status.ended == self._kept:
            return
        self._kept = status.ended
        try:
            KeptFile(self._path).save(TypeAdapter(ScrubStatus).dump_json(status))
        except OSError as error:
            log.error("the result of the scrub is not kept in %s: %s", self._path, error)
