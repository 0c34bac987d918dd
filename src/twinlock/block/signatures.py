"""What lies on a device already: file systems, containers, arrays, partition tables, by libblkid.

libblkid is what every installer and ``wipefs`` asks; it also finds md superblocks
at the end of a device (0.90, 1.0).  It is called through its ABI, so nothing of it
is needed at build time.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import cffi

from twinlock.errors import LibraryMissing, MemberUnusable
from twinlock.units import SECTOR

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

    typedef struct blkid_struct_partlist *blkid_partlist;
    typedef struct blkid_struct_partition *blkid_partition;
    blkid_partlist blkid_probe_get_partitions(blkid_probe probe);
    int blkid_partlist_numof_partitions(blkid_partlist list);
    blkid_partition blkid_partlist_get_partition(blkid_partlist list, int number);
    int blkid_partition_get_partno(blkid_partition partition);
    int64_t blkid_partition_get_start(blkid_partition partition);
    int64_t blkid_partition_get_size(blkid_partition partition);
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


@dataclass(frozen=True, slots=True)
class Partition:
    """One entry of a partition table; bytes."""

    number: int
    start: int
    size: int


def probe(path: str) -> Signature | None:
    """The first signature on ``path`` (a file or block device), or None if it looks blank.

    Raises LibraryMissing, and MemberUnusable if the path cannot be read.
    """
    return next(iter(probe_all(path)), None)


def probe_all(path: str, offset: int = 0, size: int = 0) -> tuple[Signature, ...]:
    """Every signature on ``path``, in the order in which libblkid looks for them.

    ``offset`` and ``size`` (bytes; 0: to the end) name the part that is looked at.
    """
    with _opened(path, offset, size) as (library, handle):
        return () if handle is None else _signatures(library, handle, path)


def partitions(path: str, offset: int = 0, size: int = 0) -> tuple[Partition, ...]:
    """The partitions that a table there describes; offsets and errors as of :func:`probe_all`."""
    with _opened(path, offset, size) as (library, handle):
        return () if handle is None else _partitions(library, handle)


@contextmanager
def _opened(path: str, offset: int, size: int) -> Iterator[tuple[Any, Any]]:
    """The library, and a probe of a part of ``path``; None for one of an empty file."""
    library = _load()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise MemberUnusable(path=path, reason=error.strerror) from error
    try:
        if os.lseek(fd, 0, os.SEEK_END) <= offset:
            yield library, None
            return
        with _new_probe(library) as handle:
            if library.blkid_probe_set_device(handle, fd, offset, size) != 0:
                raise MemberUnusable(path=path, reason="it cannot be read")
            yield library, handle
    finally:
        os.close(fd)


@contextmanager
def _new_probe(library: Any) -> Iterator[Any]:
    """A new probe, which is freed at the end of the block."""
    handle = library.blkid_new_probe()
    try:
        yield handle
    finally:
        library.blkid_free_probe(handle)


@cache
def _load() -> Any:
    try:
        return _ffi.dlopen(_LIBRARY)
    except OSError as error:
        raise LibraryMissing(library=_LIBRARY, package="libblkid1") from error


def _signatures(library: Any, handle: Any, path: str) -> tuple[Signature, ...]:
    library.blkid_probe_enable_superblocks(handle, 1)
    library.blkid_probe_set_superblocks_flags(handle, _FLAGS)
    library.blkid_probe_enable_partitions(handle, 1)
    found = []
    while (outcome := library.blkid_do_probe(handle)) == _FOUND:
        found.append(_signature(library, handle))
    if outcome < 0:
        raise MemberUnusable(path=path, reason="it cannot be read")
    return tuple(found)


def _partitions(library: Any, handle: Any) -> tuple[Partition, ...]:
    table = library.blkid_probe_get_partitions(handle)
    count = library.blkid_partlist_numof_partitions(table) if table else 0
    entries = (library.blkid_partlist_get_partition(table, number) for number in range(count))
    return tuple(
        Partition(
            library.blkid_partition_get_partno(entry),
            library.blkid_partition_get_start(entry) * SECTOR,
            library.blkid_partition_get_size(entry) * SECTOR,
        )
        for entry in entries
    )


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
