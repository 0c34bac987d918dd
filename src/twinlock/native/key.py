"""A key in memory that reaches neither the swap nor a core dump, and that Python cannot read.

The pages are locked (mlock), left out of dumps (MADV_DONTDUMP), empty in a
forked child (MADV_WIPEONFORK), and wiped when the buffer is closed or collected.
C code fills and uses them by address, so the key is never a Python object.
"""

import os
from functools import partial
from typing import Any, NoReturn, Self

from typing_extensions import Buffer

from twinlock.errors import KeyMemoryUnavailable
from twinlock.native._native import ffi, lib


class KeyBuffer:
    """``size`` bytes for a key, zero at first.

    Raises :class:`KeyMemoryUnavailable` if the machine refuses locked memory.
    """

    __slots__ = ("_memory", "size")

    def __init__(self, size: int) -> None:
        if size <= 0:
            raise ValueError("a key has at least one byte")
        memory = lib.tl_key_memory_new(size)
        if memory == ffi.NULL:
            raise KeyMemoryUnavailable(reason=os.strerror(ffi.errno))
        self.size = size
        self._memory: Any = ffi.gc(memory, partial(_free, size))

    @property
    def address(self) -> int:
        """Where the key lies, for C code to fill or use; ValueError once closed."""
        if self._memory is None:
            raise ValueError("the key is closed")
        return int(ffi.cast("uintptr_t", self._memory))

    def load(self, data: Buffer) -> None:
        """Copy a key that was a Python object anyway: the known-answer tests' keys.

        ``data`` is exactly ``size`` bytes.
        """
        source = ffi.from_buffer(data)
        if len(source) != self.size:
            raise ValueError(f"the key has {self.size} bytes")
        ffi.memmove(ffi.cast("void *", self.address), source, self.size)

    def close(self) -> None:
        """Wipe the key and return its memory.  Idempotent."""
        memory, self._memory = self._memory, None
        if memory is not None:
            ffi.release(memory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._memory is None else "open"
        return f"<KeyBuffer of {self.size} bytes, {state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key cannot be copied or pickled")


def _free(size: int, memory: Any) -> None:
    lib.tl_key_memory_free(memory, size)
