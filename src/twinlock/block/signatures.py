"""What lies on a device already: file systems, containers, arrays, partition tables, by libblkid.

libblkid is what every installer and ``wipefs`` asks; it also finds md superblocks
at the end of a device (0.90, 1.0).  It is called through its ABI, so nothing of it
is needed at build time.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import cffi

from twinlock.errors import LibraryMissing, MemberUnusable

_LIBRARY = "libblkid.so.1"

_ffi = cffi.FFI()
_ffi.cdef("""
    typedef struct blkid_struct_probe *blkid_probe;
    blkid_probe blkid_new_probe(void);
    void blkid_free_probe(blkid_probe probe);
    int blkid_probe_set_device(blkid_probe probe, int fd, int64_t offset, int64_t size);
    int blkid_probe_enable_superblocks(blkid_probe probe, int enable);
    int blkid_probe_set_superblocks_flags(blkid_probe probe, int flags);
    int blkid_probe_enable_partitions(blkid_probe probe, int enable);
    int blkid_do_probe(blkid_probe probe);
    int blkid_probe_lookup_value(blkid_probe probe, const char *name, const char **data, size_t *length);
""")

# blkid/blkid.h: BLKID_SUBLKS_LABEL, _UUID, _TYPE, _USAGE, _VERSION
_FLAGS = 1 << 1 | 1 << 3 | 1 << 5 | 1 << 7 | 1 << 8
_FOUND = 0

_USAGES = {
    "filesystem": "a file system",
    "raid": "a member of an array",
    "crypto": "an encrypted container",
    "partition table": "a partition table",
    "other": "data",
}


@dataclass(frozen=True, slots=True)
class Signature:
    """One thing found: ``type`` as blkid(8) names it, ``usage`` a key of the kinds libblkid knows."""

    type: str
    usage: str
    label: str = ""
    uuid: str = ""

    def __str__(self) -> str:
        label = f" named {self.label!r}" if self.label else ""
        return f"{_USAGES.get(self.usage, self.usage)} ({self.type}){label}"


def probe(path: str) -> Signature | None:
    """The first signature on ``path`` (a file or block device), or None if it looks blank.

    Raises LibraryMissing, and MemberUnusable if the path cannot be read.
    """
    return next(iter(probe_all(path)), None)


def probe_all(path: str) -> tuple[Signature, ...]:
    """Every signature on ``path``, in the order in which libblkid looks for them."""
    library = _load()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MemberUnusable(path=path, reason=error.strerror) from error
    try:
        return _probe(library, fd, path) if os.lseek(fd, 0, os.SEEK_END) else ()
    finally:
        os.close(fd)


@cache
def _load() -> Any:
    try:
        return _ffi.dlopen(_LIBRARY)
    except OSError as error:
        raise LibraryMissing(library=_LIBRARY, package="libblkid1") from error


def _probe(library: Any, fd: int, path: str) -> tuple[Signature, ...]:
    handle = library.blkid_new_probe()
    try:
        if library.blkid_probe_set_device(handle, fd, 0, 0) != 0:
            raise MemberUnusable(path=path, reason="it cannot be read")
        library.blkid_probe_enable_superblocks(handle, 1)
        library.blkid_probe_set_superblocks_flags(handle, _FLAGS)
        library.blkid_probe_enable_partitions(handle, 1)
        found = []
        while (outcome := library.blkid_do_probe(handle)) == _FOUND:
            found.append(_signature(library, handle))
        if outcome < 0:
            raise MemberUnusable(path=path, reason="it cannot be read")
        return tuple(found)
    finally:
        library.blkid_free_probe(handle)


def _signature(library: Any, handle: Any) -> Signature:
    kind = _value(library, handle, "TYPE")
    if not kind:
        table = _value(library, handle, "PTTYPE")
        return Signature(table, "partition table", uuid=_value(library, handle, "PTUUID"))
    usage, label, uuid = (_value(library, handle, name) for name in ("USAGE", "LABEL", "UUID"))
    return Signature(kind, usage, label, uuid)


def _value(library: Any, handle: Any, name: str) -> str:
    data = _ffi.new("const char **")
    if library.blkid_probe_lookup_value(handle, name.encode(), data, _ffi.NULL) != 0:
        return ""
    return _ffi.string(data[0]).decode(errors="replace")  # type: ignore[union-attr]
