"""The header area in memory: all that libcryptsetup may see and change.

A memfd as long as the array, but sparse: only the header area has contents.  So
libcryptsetup finds a device of the right size, and cannot touch any other.
"""

import os
from typing import Self

from typing_extensions import Buffer


class HeaderImage:
    """A sparse memfd of ``size`` bytes that begins with ``header``."""

    def __init__(self, size: int, header: Buffer = b"") -> None:
        self.size = size
        self._fd = os.memfd_create("luks-header")
        try:
            os.ftruncate(self._fd, size)
            self.write(header)
        except OSError:
            self.close()
            raise

    @property
    def path(self) -> str:
        """The name under which this process can open the image."""
        return f"/proc/self/fd/{self._fd}"

    def read(self, length: int) -> bytes:
        """The first ``length`` bytes."""
        parts = bytearray()
        while len(parts) < length and (part := os.pread(self._fd, length - len(parts), len(parts))):
            parts += part
        return bytes(parts)

    def write(self, header: Buffer) -> None:
        """Replace the first bytes by ``header``."""
        rest, offset = memoryview(header).cast("B"), 0
        while offset < len(rest):
            offset += os.pwrite(self._fd, rest[offset:], offset)

    def close(self) -> None:
        """Forget the image.  Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
