"""Every change that a piece of code makes to files of one folder, one step after the other.

To end a process at any of them, or to know what a power cut may leave (:mod:`tests.support.power`).  What is
watched is :mod:`os`; a test that looks at what is there afterwards sees whether any change escaped.
"""

import io
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, cast

from twinlock.block import kernel

CUT = 77
"""Exit status of a process that :func:`cut_at` ended."""


_STRETCH = 512 * 1024


@dataclass(frozen=True, slots=True)
class Step:
    """``kind``: create, write, truncate, sync, flushed (a write with RWF_DSYNC), rename, unlink, mkdir."""

    kind: str
    path: str
    offset: int = 0
    data: bytes = field(default=b"", repr=False)
    to: str = ""


class _Watch:
    """``note`` hears of a step before it is done; what it returns, if anything, is done instead of it."""

    def __init__(self, root: Path, note: Callable[[Step, Callable[[bytes], Any]], None]) -> None:
        self._root = f"{root.resolve()}/"
        self._note = note
        self._lock = RLock()
        self.real: dict[str, Any] = {name: getattr(os, name) for name in vars(_Watch) if name in os.__all__}
        self.punch = kernel.punch_hole

    def _tell(self, step: Step, half: Callable[[bytes], Any] = lambda _: None) -> None:
        if f"{step.path}/".startswith(self._root):
            with self._lock:
                self._note(step, half)

    def tell_write(self, kind: str, fd: int, offset: int, data: bytes, half: Callable[[bytes], Any]) -> None:
        self._tell(Step(kind, _path(fd), offset, data), half)

    def punch_hole(self, fd: int, offset: int, length: int) -> None:
        self._tell(Step("write", _path(fd), offset, bytes(length)))
        self.punch(fd, offset, length)

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        if flags & os.O_CREAT and not os.path.lexists(path):
            self._tell(Step("create", os.path.abspath(path)))
        number = self.real["open"](path, flags, mode, **more)
        assert isinstance(number, int)
        return number

    def fdopen(self, fd: int, mode: str) -> "_File":
        assert mode == "wb", mode
        return _File(fd, self)

    def pwrite(self, fd: int, data: Any, offset: int) -> Any:
        real = self.real["pwrite"]
        self.tell_write("write", fd, offset, bytes(data), lambda part: real(fd, part, offset))
        return real(fd, data, offset)

    def pwritev(self, fd: int, parts: Any, offset: int, flags: int = 0) -> Any:
        real, kind = self.real["pwritev"], "flushed" if flags & os.RWF_DSYNC else "write"
        self.tell_write(kind, fd, offset, b"".join(parts), lambda part: real(fd, [part], offset))
        return real(fd, parts, offset, flags)

    def ftruncate(self, fd: int, size: int) -> None:
        self._tell(Step("truncate", _path(fd), size))
        self.real["ftruncate"](fd, size)

    def fsync(self, fd: int) -> None:
        self._tell(Step("sync", _path(fd)))
        self.real["fsync"](fd)

    def fdatasync(self, fd: int) -> None:
        self._tell(Step("sync", _path(fd)))
        self.real["fdatasync"](fd)

    def rename(self, old: Any, new: Any, **more: Any) -> None:
        self._tell(Step("rename", os.path.abspath(old), to=os.path.abspath(new)))
        self.real["rename"](old, new, **more)

    def replace(self, old: Any, new: Any, **more: Any) -> None:
        self._tell(Step("rename", os.path.abspath(old), to=os.path.abspath(new)))
        self.real["replace"](old, new, **more)

    def unlink(self, path: Any, **more: Any) -> None:
        if os.path.lexists(path):
            self._tell(Step("unlink", os.path.abspath(path)))
        self.real["unlink"](path, **more)

    def mkdir(self, path: Any, *arguments: Any, **more: Any) -> None:
        if not os.path.lexists(path):
            self._tell(Step("mkdir", os.path.abspath(path)))
        self.real["mkdir"](path, *arguments, **more)


class _File(io.FileIO):
    """Without a buffer, so that each write is a step."""

    def __init__(self, fd: int, watch: _Watch) -> None:
        super().__init__(fd, "wb")
        self._watch = watch

    def write(self, data: Any) -> int:
        self._watch.tell_write("write", self.fileno(), self.tell(), bytes(data), super().write)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        assert size is not None
        self._watch._tell(Step("truncate", _path(self.fileno()), size))
        return super().truncate(size)


@contextmanager
def watched(root: Path, note: Callable[[Step, Callable[[bytes], Any]], None]) -> Iterator[None]:
    """Within, ``note`` hears of each step in ``root`` before it is done, and can do a part of it."""
    watch = _Watch(root, note)
    try:
        for name in watch.real:
            setattr(os, name, getattr(watch, name))
        kernel.punch_hole = watch.punch_hole
        yield
    finally:
        kernel.punch_hole = watch.punch
        for name, real in watch.real.items():
            setattr(os, name, real)


def cut_at(number: int, root: Path, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process that ends before its step ``number``, and cleans nothing up.

    Of a write there are two: before it, and with the first half of it done.  True if there are so many steps.
    """
    left, before = number, cast(Step | None, None)

    def note(step: Step, half: Callable[[bytes], Any]) -> None:
        nonlocal left, before
        before, last = step, before
        if goes_on(step, last):
            return
        if left == 0:
            os._exit(CUT)
        left -= 1
        if len(step.data) > 1:
            if left == 0:
                half(step.data[: len(step.data) // 2])
                os._exit(CUT)
            left -= 1

    child = os.fork()
    if not child:
        try:
            with watched(root, note):
                work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, CUT), status
    return status == CUT


def goes_on(step: Step, before: Step | None) -> bool:
    """Whether a step is one more write of many to one place: ends of :data:`_STRETCH` bytes stand for all."""
    if before is None or (step.kind, before.kind, step.path) != ("write", "write", before.path):
        return False
    return step.offset // _STRETCH == before.offset // _STRETCH


def recorded(root: Path, work: Callable[[], object]) -> list[Step]:
    """The steps of ``work``, which is done."""
    steps: list[Step] = []
    with watched(root, lambda step, _: steps.append(step)):
        work()
    return steps


def _path(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")
