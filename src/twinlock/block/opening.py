"""How members are opened, and kept from others: what fails is named for the person who asked."""

import errno
import os
import stat

from twinlock.block import kernel
from twinlock.block.holders import in_use, refuse_if_held
from twinlock.errors import MemberMissing, MemberUnusable, TwinlockError

_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFCHR: "it is a character device",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
}


def create_file(path: str) -> int:
    """A descriptor of a new, empty file.  Raises MemberUnusable."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileNotFoundError as error:
        raise MemberUnusable(path=path, reason="the folder it should be made in is not there") from error
    except OSError as error:
        raise unusable(path, error) from error


def open_member(path: str, *, writable: bool, exclusive: bool) -> int:
    """A descriptor of what is there.  Raises MemberMissing, MemberUnusable or MemberInUse."""
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind in _KINDS:
            raise MemberUnusable(path=path, reason=_KINDS[kind])
        flags = os.O_CLOEXEC | (os.O_RDWR if writable else os.O_RDONLY)
        if exclusive and kind == stat.S_IFBLK:
            flags |= os.O_EXCL
        return os.open(path, flags)
    except OSError as error:
        raise unusable(path, error) from error


def claim(fd: int, path: str, *, writable: bool) -> None:
    """Keep others out of a regular file; a block device is claimed by how it was opened."""
    if not stat.S_ISBLK(os.fstat(fd).st_mode):
        refuse_if_held(path)
        if not kernel.try_lock(fd, exclusive=writable):
            raise in_use(path)


def unusable(path: str, error: OSError) -> TwinlockError:
    """What an error of opening means."""
    if error.errno == errno.ENOENT:
        return MemberMissing(path=path)
    if error.errno == errno.EBUSY:
        return in_use(path)
    return MemberUnusable(path=path, reason=error.strerror.lower() if error.strerror else str(error))
