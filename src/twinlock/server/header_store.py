"""Where backups of a container's header are kept, and the journal of a change under way.

A folder per volume and array, of mode 0700, files of mode 0600.  What is put there is durable, name and
all, before the header is touched.  The oldest backups go as new ones come.
"""

import contextlib
import logging
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from twinlock.errors import HeaderBackupUnusable
from twinlock.luks.copies import BLOCK
from twinlock.luks.journal import Journal
from twinlock.server.durable import sync_folder
from twinlock.server.messages import VolumeSpec

KEPT = 10
"""Backups of a volume's header that are kept."""
_JOURNAL, _SUFFIX, _DRAFT = "change.json", ".luks", ".new"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-(\d+)\.luks")
"""Ours; what somebody else puts beside them is left alone."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeaderStore:
    """The folder of one volume."""

    folder: Path

    @classmethod
    def of(cls, spec: VolumeSpec) -> "HeaderStore | None":
        """The volume's; None if it has none."""
        if spec.headers is None:
            return None
        owner = spec.name if spec.array is None else f"{spec.name}.{spec.array}"
        return cls(Path(spec.headers) / owner)

    # -- backups ----------------------------------------------------------------------------------

    def backups(self) -> list[Path]:
        """The backups that are kept, the oldest first."""
        return sorted(path for path in self.folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name))

    def keep(self, backup: bytes, now: float) -> Path:
        """Keep a backup, durably; ``now`` in seconds since 1970.  Raises HeaderBackupUnusable.

        If the newest one says the same, that one is it: the others are not pushed out by copies.
        """
        newest = next(iter(self.backups()[-1:]), None)
        if newest is not None and _holds(newest, backup):
            self._make_names_durable()
            return newest
        path = self._free_name(newest, now)
        self._store(path, backup)
        for old in self.backups()[:-KEPT]:
            with contextlib.suppress(OSError):  # one too many does no harm
                old.unlink()
        return path

    def forget(self, paths: list[Path]) -> None:
        """Delete backups, and what a crash left of one; raises HeaderBackupUnusable."""
        try:
            for path in [*paths, *self._drafts()]:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        self._make_names_durable()

    # -- the journal ------------------------------------------------------------------------------

    def journal(self) -> Journal | None:
        """The journal of a change that was cut off; None if there is none, or none that can be read."""
        path = self.folder / _JOURNAL
        try:
            return Journal.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.error("%s cannot be read (%s): the header is taken as it is", path, error)
            return None

    def begin(self, journal: Journal) -> None:
        """Keep the journal of a change that begins now, durably."""
        self._store(self.folder / _JOURNAL, journal.encode())

    def finish(self) -> None:
        """The change is done: nothing is to be repaired any more."""
        try:
            (self.folder / _JOURNAL).unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        if self.folder.exists():
            self._make_names_durable()

    # -- inside -----------------------------------------------------------------------------------

    def _free_name(self, newest: Path | None, now: float) -> Path:
        """One that sorts behind all others, also where the clock went back: the last is the newest."""
        stamp, number = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)), 0
        last = None if newest is None else _NAME.fullmatch(newest.name)
        if last is not None and last[1] >= stamp:
            stamp, number = last[1], int(last[2]) + 1
        return self.folder / f"{stamp}-{number:04}{_SUFFIX}"

    def _drafts(self) -> list[Path]:
        return list(self.folder.glob(f"*{_DRAFT}"))

    def _store(self, path: Path, content: bytes) -> None:
        try:
            _make_durably(self.folder)
            for left in self._drafts():
                left.unlink(missing_ok=True)
            _write_durably(path, content)
        except OSError as error:
            raise self._unusable(error) from error

    def _make_names_durable(self) -> None:
        """Also those of a process that was killed before it had done so."""
        try:
            sync_folder(self.folder)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> HeaderBackupUnusable:
        return HeaderBackupUnusable(path=self.folder, reason=error.strerror or str(error))


def _write_durably(path: Path, content: bytes) -> None:
    """Under its name there is all of it or nothing; zeros take no room."""
    draft = path.with_suffix(_DRAFT)
    number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(number, "wb") as file:
            for offset in range(0, len(content), BLOCK):
                block = content[offset : offset + BLOCK]
                if any(block):
                    file.seek(offset)
                    file.write(block)
            file.truncate(len(content))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _make_durably(folder: Path) -> None:
    """A folder with those above it; an earlier process may have made them without telling the disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(folder.parent)
    with contextlib.suppress(PermissionError):  # the state folder is another's business
        sync_folder(folder.parent.parent)
