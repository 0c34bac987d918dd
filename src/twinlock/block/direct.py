"""Reads that pass the page cache by (O_DIRECT), for whoever wants to know what is on the medium.

Advice (POSIX_FADV_DONTNEED) is no order: the kernel may keep a page all the same, and what
answers then is memory.  Where a file system knows no O_DIRECT, advice is what is left.
"""

import errno
import mmap
import os

from twinlock.block import kernel
from twinlock.units import round_down, round_up

ALIGNMENT = 4096
"""Bytes; what offsets, lengths and memory are aligned to: the largest logical block there is."""


class DirectReader:
    """Reads the file that is open as ``fd``; ``limit`` is where reads must end, if anywhere (bytes)."""

    def __init__(self, fd: int, *, limit: int | None = None) -> None:
        self._fd = fd
        self.limit = limit
        self._direct = _open_direct(fd)

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset``, fewer where the file ends.  Raises OSError."""
        start, end = round_down(offset, ALIGNMENT), round_up(offset + length, ALIGNMENT)
        if self.limit is not None:
            end = min(end, self.limit)
        if end == start:
            return b""
        if self._direct >= 0:
            try:
                return self._read_directly(start, end)[offset - start : offset - start + length]
            except OSError as error:
                if error.errno != errno.EINVAL:  # what is not aligned enough for this device
                    raise
        os.posix_fadvise(self._fd, start, end - start, os.POSIX_FADV_DONTNEED)
        return self._read_after_advice(offset, length)

    def _read_directly(self, start: int, end: int) -> bytes:
        with mmap.mmap(-1, end - start) as memory, memoryview(memory) as aligned:
            return bytes(aligned[: self._fill(aligned, start)])

    def _fill(self, aligned: memoryview, start: int) -> int:
        """Read as much as there is.

        A short count may be the end of the file, or that of what could be read at once: the next read, which
        begins where it may, tells.
        """
        done = 0
        while done < aligned.nbytes:
            again = round_down(done, ALIGNMENT)
            with aligned[again:] as rest:
                reached = again + os.preadv(self._direct, [rest], start + again)
            if reached <= done:
                break
            done = reached
        return done

    def _read_after_advice(self, offset: int, length: int) -> bytes:
        """A short count may be the end of the file, or a page that cannot be read: the next read tells."""
        data = b""
        while len(data) < length and (more := os.pread(self._fd, length - len(data), offset + len(data))):
            data += more
        return data

    def release(self) -> None:
        """Let what was opened here lead nowhere; see :meth:`FileDevice.release`."""
        if self._direct >= 0:
            kernel.lead_nowhere([self._direct])

    def close(self) -> None:
        """Close what was opened here.  Idempotent."""
        fd, self._direct, self._fd = self._direct, -1, -1
        if fd >= 0:
            os.close(fd)


def _open_direct(fd: int) -> int:
    """A descriptor of the same file that passes the page cache by; -1 where there is no such thing."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
    except OSError:
        return -1
