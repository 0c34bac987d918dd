"""A process that holds a key must not leave it in a core dump, nor be read by a debugger of its user."""

import os
import resource

from twinlock.native._native import ffi, lib


def harden() -> None:
    """Forbid core dumps and tracing for the rest of this process's life (prctl(2), setrlimit(2)).

    To be called before the first key.  The process's entries in ``/proc`` become root's.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not lib.tl_make_undumpable():
        raise OSError(ffi.errno, os.strerror(ffi.errno))


def is_dumpable() -> bool:
    """Whether the kernel would dump this process (PR_GET_DUMPABLE)."""
    return bool(lib.tl_is_dumpable())
