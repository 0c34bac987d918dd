"""What a power cut may leave of files: what was flushed, and of the rest anything.

A file's content is durable once it was flushed; a name that is made, changed or taken away once its
folder was.  So a name may outlive what it was given to, and the other way round.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TypeAlias

from tests.support.steps import Step, goes_on

_PIECE = 4096
Files: TypeAlias = dict[str, bytes | None]
"""What there is under each path; None: a folder."""


@dataclass
class _File:
    """``now``: as the page cache has it; ``kept``: as the medium does.  ``ages``: how often they changed."""

    now: bytearray
    kept: bytearray
    ages: list[int] = field(default_factory=lambda: [0, 0])

    def put(self, offset: int, data: bytes) -> None:
        """In the page cache."""
        self.ages[0] += 1
        self.now.extend(bytes(max(0, offset + len(data) - len(self.now))))
        self.now[offset : offset + len(data)] = data

    def flush(self) -> None:
        """All of it."""
        self.ages[1] = self.ages[0]
        self.kept[:] = self.now


@dataclass
class Disk:
    """The files of one folder.  Names are paths; that of a folder has no file."""

    root: Path
    now: dict[str, _File | None] = field(default_factory=dict)
    kept: dict[str, _File | None] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> "Disk":
        """As it is, all of it durable."""
        disk = cls(root.resolve())
        for path in sorted(disk.root.rglob("*")):
            content = None if path.is_dir() else path.read_bytes()
            disk.now[str(path)] = None if content is None else _File(bytearray(content), bytearray(content))
        disk.kept = dict(disk.now)
        return disk

    def take(self, step: Step) -> None:
        """One step is done."""
        getattr(self, f"_{step.kind}")(step)

    def outcomes(self, seen: set[object]) -> Iterator[Files]:
        """The corners of what a power cut now may leave, but for those ``seen``, which become more.

        Of names, of contents in folders, of contents beside them (members): what was flushed, or everything.
        """
        for names, *contents in product((False, True), repeat=3):
            found = self._reachable(self.now if names else self.kept)
            chosen = {path: contents[os.path.dirname(path) == str(self.root)] for path in found}
            mark = frozenset(
                (path, id(file), file is not None and file.ages[not chosen[path]])
                for path, file in found.items()
            )
            if mark not in seen:
                seen.add(mark)
                yield {
                    path: None if file is None else bytes(file.now if chosen[path] else file.kept)
                    for path, file in found.items()
                }

    def _reachable(self, files: "dict[str, _File | None]") -> "dict[str, _File | None]":
        """Without what lies in folders that are not there."""
        found: dict[str, _File | None] = {}
        for path, file in sorted(files.items()):
            folder = os.path.dirname(path)
            if folder == str(self.root) or (folder in found and found[folder] is None):
                found[path] = file
        return found

    def _create(self, step: Step) -> None:
        self.now[step.path] = _File(bytearray(), bytearray())

    def _mkdir(self, step: Step) -> None:
        self.now[step.path] = None

    def _unlink(self, step: Step) -> None:
        del self.now[step.path]

    def _rename(self, step: Step) -> None:
        self.now[step.to] = self.now.pop(step.path)

    def _write(self, step: Step) -> None:
        self._file(step).put(step.offset, step.data)

    def _flushed(self, step: Step) -> None:
        file = self._file(step)
        flushed = file.ages[1] == file.ages[0]
        file.put(step.offset, step.data)
        file.kept[step.offset : step.offset + len(step.data)] = step.data
        file.ages[1] = file.ages[0] if flushed else -file.ages[0]

    def _truncate(self, step: Step) -> None:
        file = self._file(step)
        del file.now[step.offset :]
        file.put(step.offset, b"")

    def _sync(self, step: Step) -> None:
        file = self.now.get(step.path)
        if file is not None:
            file.flush()
            return
        names = {path for path in (*self.now, *self.kept) if os.path.dirname(path) == step.path}
        for path in names:
            if path in self.now:
                self.kept[path] = self.now[path]
            else:
                del self.kept[path]

    def _file(self, step: Step) -> _File:
        file = self.now[step.path]
        assert file is not None, step
        return file


def put_on_disk(root: Path, files: Files) -> None:
    """Make the folder hold this and nothing else."""
    shutil.rmtree(root)
    root.mkdir()
    for path, content in sorted(files.items()):
        if content is None:
            os.mkdir(path, 0o700)
        else:
            with Path(path).open("wb") as file:
                for offset in range(0, len(content), _PIECE):
                    piece = content[offset : offset + _PIECE]
                    if any(piece):
                        file.seek(offset)
                        file.write(piece)
                file.truncate(len(content))


def power_cuts(disk: Disk, steps: Sequence[Step]) -> Iterator[tuple[int, Files]]:
    """All that differs of what a power cut may leave, with the number of the step before which it comes."""
    seen: set[object] = set()
    for number, step in enumerate(steps):
        if not goes_on(step, steps[number - 1] if number else None):
            yield from ((number, files) for files in disk.outcomes(seen))
        disk.take(step)
    yield from ((len(steps), files) for files in disk.outcomes(seen))
