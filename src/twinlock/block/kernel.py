"""The few calls to the kernel that the ``os`` module lacks."""

import errno
import fcntl
import os
import struct
from collections.abc import Iterable
from typing import Any

import cffi

_ffi = cffi.FFI()
_ffi.cdef("int fallocate64(int fd, int mode, int64_t offset, int64_t length);")
_libc: Any = _ffi.dlopen(None)

# linux/falloc.h
_KEEP_SIZE, _PUNCH_HOLE = 0x01, 0x02
# linux/fs.h: _IOR(0x12, 114, size_t), _IO(0x12, 104), _IO(0x12, 119)
_BLKGETSIZE64, _BLKSSZGET, _BLKDISCARD = 0x80081272, 0x1268, 0x1277

_FLOCK = struct.Struct("@hhqqi4x")
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""

UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOTTY, errno.EINVAL})
"""What file systems and drivers answer to a call they do not know."""


def punch_hole(fd: int, offset: int, length: int) -> None:
    """Give back ``length`` bytes of a regular file; they read as zeros (fallocate(2)).  Raises OSError."""
    if _libc.fallocate64(fd, _PUNCH_HOLE | _KEEP_SIZE, offset, length) != 0:
        raise OSError(_ffi.errno, os.strerror(_ffi.errno))


def discard_blocks(fd: int, offset: int, length: int) -> None:
    """Tell a block device that ``length`` bytes are not needed any more (BLKDISCARD).  Raises OSError."""
    fcntl.ioctl(fd, _BLKDISCARD, struct.pack("@QQ", offset, length))


def allocation(fd: int, offset: int, length: int) -> tuple[int, bool]:
    """How many bytes of a file from ``offset`` on, at most ``length``, are alike; and whether they are data.

    A file system that keeps no map calls everything data (lseek(2), SEEK_HOLE); so does this where it
    cannot be asked.
    """
    try:
        hole = os.lseek(fd, offset, os.SEEK_HOLE)
        if hole > offset:
            return min(hole - offset, length), True
        data = os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        return length, error.errno != errno.ENXIO  # there is no data from here to the end
    return min(data - offset, length), False


def device_size(fd: int) -> int:
    """Bytes of a block device (BLKGETSIZE64)."""
    return int(struct.unpack("@Q", fcntl.ioctl(fd, _BLKGETSIZE64, bytes(8)))[0])


def logical_block(fd: int) -> int:
    """Bytes of a block device's logical block (BLKSSZGET)."""
    return int(struct.unpack("@i", fcntl.ioctl(fd, _BLKSSZGET, bytes(4)))[0])


def try_lock(fd: int, *, exclusive: bool) -> bool:
    """Lock the whole file for this open file description (F_OFD_SETLK); False if another one has it.

    Such a lock, unlike the older POSIX ones, also keeps out a second opening by the same process,
    and is not lost when some other descriptor of the file is closed.
    """
    kind = fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0, 0, 0))
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def lead_nowhere(numbers: Iterable[int]) -> None:
    """Make descriptors, in one step each, ones of ``/dev/null``: what they were of is closed.

    Calls that are on their way end as if nothing had happened; later ones read nothing.
    """
    nowhere = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        for number in numbers:
            os.dup2(nowhere, number, inheritable=False)
    finally:
        os.close(nowhere)
