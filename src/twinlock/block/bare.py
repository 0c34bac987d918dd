"""One device served as it is: no superblock, no bitmap, no checksums, no second copy.

It has the face of a mirror where the server looks at one.
"""

from typing_extensions import Buffer

from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import MemberState
from twinlock.block.mirror.status import ArrayStatus, MemberStatus
from twinlock.block.section import Section
from twinlock.errors import DeviceError

REST_SECONDS = 3600.0
"""Between two looks for work in the background: there is none."""


class BareStore(Section):
    """The whole of ``device``, held until :meth:`close`; ``uuid`` is what initiators know it by."""

    def __init__(self, device: FileDevice, uuid: bytes) -> None:
        super().__init__(device, 0, device.size)
        self.uuid = uuid
        self.path = device.path
        self._device: FileDevice | None = device
        self._dirty = False
        self._error: DeviceError | None = None

    def copies(self) -> tuple["BareStore"]:
        """There is one."""
        return (self,)

    def write(self, offset: int, data: Buffer) -> None:
        """See :meth:`BlockDevice.write`."""
        try:
            super().write(offset, data)
        finally:
            self._dirty = True

    def discard(self, offset: int, length: int) -> None:
        """See :meth:`BlockDevice.discard`."""
        try:
            super().discard(offset, length)
        finally:
            self._dirty = True

    def flush(self) -> None:
        """See :meth:`BlockDevice.flush`; a flush that failed is remembered for :meth:`status`."""
        before, self._dirty = self._dirty, False
        try:
            super().flush()
        except DeviceError as error:
            self._dirty, self._error = before, error
            raise

    def step(self) -> float:
        """Nothing is ever due."""
        return REST_SECONDS

    def close(self) -> None:
        """Flush, and let go of the device.  Idempotent.  Raises WriteFailed if the flush fails."""
        device, self._device = self._device, None
        if device is not None:
            try:
                self.flush()
            finally:
                device.close()

    def status(self) -> ArrayStatus:
        """As of an array with one place, which is filled."""
        state = MemberState.IN_SYNC if self._error is None else MemberState.FAULTY
        error = None if self._error is None else str(self._error)
        return ArrayStatus(
            uuid=self.uuid,
            name="",
            size=self.size,
            events=0,
            degraded=False,
            dirty=self._dirty,
            chunk_size=0,
            marked_chunks=0,
            members=(MemberStatus(0, state, self.path, error=error),),
        )
