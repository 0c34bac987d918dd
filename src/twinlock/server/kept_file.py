"""A file that keeps something of a volume across restarts: its persistent reservations, its last scrub.

It is replaced as a whole: written beside, flushed, renamed over, and the folders
flushed, so that after a crash it holds what was kept before a change or
after it, never something between.
"""

import os
from pathlib import Path

from twinlock.server.durable import sync_folder

_MODE = 0o600
_FOLDER_MODE = 0o700


class KeptFile:
    """Bytes in the file ``path``: a ``ReservationStore`` (:mod:`twinlock.scsi.reservations.record`), say."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> bytes | None:
        """The file's content, or None if it is not there.  Raises OSError if it cannot be read."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def save(self, data: bytes) -> None:
        """Replace the file by ``data``, durably.

        Raises OSError: then the file is as it was; or as asked, if it was the flush of a folder that failed.
        """
        folder = self._path.parent
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        beside = self._path.with_name(self._path.name + ".new")
        _write(beside, data)
        beside.replace(self._path)
        for each in (folder, folder.parent):  # the folder itself may be new
            sync_folder(each)


def _write(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # left over from a crash, perhaps with other rights
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
