"""Members that are regular files or block devices of this machine.

Data goes through the page cache: reads that it can answer cost one system call,
writes are durable after ``fdatasync``.  Two descriptors are open on each writable
member, and a third where the page cache can be passed by.  The kernel reports a
failed write-back once to each open file description; so a durable write, which has the
second one to itself, can neither swallow the error that the next flush must see nor
wait for a flush that takes long.

A member that becomes shorter than it was is gone, for good.  A disk that is pulled out
shows itself in no other way: the kernel sets its size to 0, answers writes with "no space
left" and calls flushes a success.  A file that was cut would answer with zeros, once some
write made it long again.
"""

import contextlib
import errno
import os
import stat
from threading import Lock
from typing import Self

from typing_extensions import Buffer

from twinlock.block import kernel
from twinlock.block.device import BlockDevice
from twinlock.block.direct import DirectReader
from twinlock.block.mounts import MEMORY_FILESYSTEMS, filesystem_of
from twinlock.block.opening import claim, create_file, open_member, unusable
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.units import SECTOR

_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EBADF})
"""Errors of a device or file that will not come back."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a file system without room.  From a block device they are failures like others."""


class FileDevice(BlockDevice):
    """A regular file or a block device, made by :meth:`open`."""

    def __init__(self, fd: int, path: str, *, writable: bool, created: bool = False) -> None:
        status = os.fstat(fd)
        self.path = path
        self.is_block = stat.S_ISBLK(status.st_mode)
        self.logical_block = kernel.logical_block(fd) if self.is_block else SECTOR
        self.block_size = self.logical_block
        size = kernel.device_size(fd) if self.is_block else status.st_size
        self.size = size - size % self.block_size
        self.created = created
        self._fd = fd
        self._durable_fd = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC) if writable else -1
        self._direct = DirectReader(fd, limit=self.size if self.is_block else None)
        self._nowait = True
        self._without_medium = False
        self._discards = True
        self._gone: str | None = None
        self._released = False
        self._flush_lock = Lock()
        self._flush_failure: str | None = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        writable: bool = True,
        exclusive: bool = True,
        size: int | None = None,
    ) -> Self:
        """Open ``path``; with ``size`` in bytes, a path that leads nowhere becomes a sparse file.

        ``exclusive`` keeps everyone else out until :meth:`close`: O_EXCL for a block device, a lock of
        the open file description for a file.  Raises MemberMissing, MemberUnusable or MemberInUse; what
        it created is gone then.
        """
        name = os.fspath(path)
        created = size is not None and not os.path.lexists(name)
        fd = create_file(name) if created else open_member(name, writable=writable, exclusive=exclusive)
        try:
            if created:
                os.ftruncate(fd, size or 0)
            if exclusive:
                claim(fd, name, writable=writable)
            return cls(fd, name, writable=writable, created=created)
        except BaseException as error:
            os.close(fd)
            if created:
                os.unlink(name)
            if isinstance(error, OSError):
                raise unusable(name, error) from error
            raise

    @property
    def punches_holes(self) -> bool:
        """True if what :meth:`discard` gave back reads as zeros: a regular file, until a punch failed."""
        return self._discards and not self.is_block

    # -- data -----------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> Buffer:
        """See :meth:`BlockDevice.read`."""
        self.check_range(offset, length)
        self._refuse_gone(offset)
        try:
            data = os.pread(self._fd, length, offset)
            while len(data) < length:
                more = os.pread(self._fd, length - len(data), offset + len(data))
                if not more:
                    raise self._lost("it ends before its size", offset + len(data))
                data += more
        except OSError as error:
            raise self._failure(error, MediumError, offset) from error
        return data

    def read_nowait(self, offset: int, length: int) -> Buffer | None:
        """From the page cache only (RWF_NOWAIT); None if the medium has to be asked."""
        self.check_range(offset, length)
        self._refuse_gone(offset)
        if not self._nowait:
            return self._read_without_medium(offset, length)
        data = bytearray(length)
        try:
            count = os.preadv(self._fd, [data], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in kernel.UNSUPPORTED:
                raise self._failure(error, MediumError, offset) from error
            self._nowait = False
            self._without_medium = filesystem_of(self._fd) in MEMORY_FILESYSTEMS
            return self._read_without_medium(offset, length)
        return data if count == length else None

    def read_medium(self, offset: int, length: int) -> Buffer:
        """Past the page cache; see :mod:`twinlock.block.direct`."""
        self.check_range(offset, length)
        self._refuse_gone(offset)
        try:
            data = self._direct.read(offset, length)
        except OSError as error:
            raise self._failure(error, MediumError, offset) from error
        if len(data) < length:
            raise self._lost("it ends before its size", offset + len(data))
        return data

    def prefetch(self, offset: int, length: int) -> None:
        """Have the kernel read the range into the page cache (POSIX_FADV_WILLNEED)."""
        self.check_range(offset, length)
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._fd, offset, length, os.POSIX_FADV_WILLNEED)

    def allocation(self, offset: int, length: int) -> tuple[int, bool]:
        """From the map of the file (SEEK_HOLE); of a disk nothing is known.

        Raises DeviceGone if the file is not as long as it was: what was cut off looks like a hole.
        """
        self.check_range(offset, length)
        self._refuse_short(offset)
        return (length, True) if self.is_block else kernel.allocation(self._fd, offset, length)

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        self._write(self._fd, offset, data, 0)

    def write_durable(self, offset: int, data: Buffer) -> None:
        """Write with RWF_DSYNC: this range is flushed, the rest of the file is left alone."""
        self._write(self._durable_fd, offset, data, os.RWF_DSYNC)

    def flush(self) -> None:
        """``fdatasync``; once it failed, this and every later flush is WriteFailed.

        After a failure the kernel has dropped what it could not write and would call the next
        attempt a success, so there is none.  Raises DeviceGone if the member is not as long as it was.
        """
        with self._flush_lock:
            if self._flush_failure is None:
                try:
                    os.fdatasync(self._fd)
                except OSError as error:
                    self._flush_failure = error.strerror
            self._refuse_short()
            if self._flush_failure is not None:
                raise WriteFailed(f"{self.path} could not be flushed: {self._flush_failure}")

    def discard(self, offset: int, length: int) -> None:
        """Punch a hole, or BLKDISCARD; a member that cannot is left as it is, and not asked again.

        A discard is advice, and no data depend on it: of its errors only DeviceGone is raised.
        """
        self.check_range(offset, length)
        self._refuse_gone(offset)
        if not self._discards or not length:
            return
        try:
            (kernel.discard_blocks if self.is_block else kernel.punch_hole)(self._fd, offset, length)
        except OSError as error:
            self._discards = False
            failure = self._failure(error, WriteFailed, offset)
            if isinstance(failure, DeviceGone):
                raise failure from error

    def allocate(self, offset: int, length: int) -> None:
        """Reserve the range of a file; raises SpaceExhausted if there is no room for it."""
        self.check_range(offset, length)
        if self.is_block or not length:
            return
        try:
            os.posix_fallocate(self._fd, offset, length)
        except OSError as error:
            raise self._failure(error, WriteFailed, offset) from error

    def close(self) -> None:
        """Let go of the member.  Idempotent."""
        fd, self._fd = self._fd, -1
        durable_fd, self._durable_fd = self._durable_fd, -1
        self._direct.close()
        for number in (durable_fd, fd):
            if number >= 0:
                os.close(number)

    def release(self) -> None:
        """Let go of the member under the feet of whoever still uses it.

        A number that is closed may become another file's at once, and a late write would go there.  So
        each is made to lead nowhere, in one step, and stays taken until :meth:`close`, or until nobody has
        this object any more: whoever is about to use a number holds it.
        """
        with self._flush_lock:
            self._released = True
            self._gone = self._gone or "it was let go of"
            if self._fd >= 0:
                kernel.lead_nowhere(number for number in (self._durable_fd, self._fd) if number >= 0)
                self._direct.release()

    def __del__(self) -> None:
        if getattr(self, "_released", False):
            self.close()

    def measure(self) -> int:
        """See :meth:`BlockDevice.measure`; what became shorter is gone, and stays as it was."""
        size = kernel.device_size(self._fd) if self.is_block else os.fstat(self._fd).st_size
        self.size = max(self.size, size - size % self.block_size)
        if self.is_block:
            self._direct.limit = self.size
        return self.size

    def unlink(self) -> None:
        """Close, and delete the file if :meth:`open` created it."""
        self.close()
        if self.created and os.path.lexists(self.path):
            os.unlink(self.path)

    # -- the rest -------------------------------------------------------------------------------

    def _read_without_medium(self, offset: int, length: int) -> Buffer | None:
        return self.read(offset, length) if self._without_medium else None

    def _write(self, fd: int, offset: int, data: Buffer, flags: int) -> None:
        view = memoryview(data)
        self.check_range(offset, view.nbytes)
        self._refuse_gone(offset)
        if not self.is_block:  # a write behind the end of a file that was cut would make it long again
            self._refuse_short(offset)
        try:
            written = os.pwritev(fd, [view], offset, flags)
            while written < view.nbytes:
                written += os.pwritev(fd, [view[written:]], offset + written, flags)
        except OSError as error:
            raise self._failure(error, WriteFailed, offset) from error

    def _failure(self, error: OSError, otherwise: type[DeviceError], offset: int) -> DeviceError:
        """What an error means, once it is known whether the member is still there."""
        reason = error.strerror or str(error)
        if error.errno in _GONE or self._is_short():
            return self._lost(reason, offset)
        full = error.errno in _FULL and not self.is_block
        return (SpaceExhausted if full else otherwise)(f"{self.path}: {reason}", offset=offset)

    def _refuse_gone(self, offset: int | None = None) -> None:
        if self._gone is not None:
            raise self._lost(self._gone, offset)

    def _refuse_short(self, offset: int | None = None) -> None:
        self._refuse_gone(offset)
        if self._is_short():
            raise self._lost("it is shorter than it was", offset)

    def _lost(self, reason: str, offset: int | None) -> DeviceGone:
        """Remember that the member is gone: whatever it answers from now on is not the array's."""
        self._gone = self._gone or reason
        return DeviceGone(f"{self.path} is gone: {self._gone}", offset=offset)

    def _is_short(self) -> bool:
        try:
            size = kernel.device_size(self._fd) if self.is_block else os.fstat(self._fd).st_size
        except OSError:
            return True
        return size < self.size
