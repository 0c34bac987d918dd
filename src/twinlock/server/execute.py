"""Carries out what the SCSI layer decided, on a block device.

Reads that the page cache can answer, and writes while the device keeps up, are
done at once in the caller's thread: a hand-over to another thread costs more
than they do.  What may wait for a medium goes to the pool, so that one slow
command holds up no other.
"""

import time
from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceError
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.operations import Discard, Flush, Operation, Read, Result, Verify, Write
from twinlock.scsi.sense import Sense
from twinlock.wire.scsi_sense import SenseCode

SLOW_WRITE = 0.005
"""Seconds after which a write counts as slow."""
CAUTION = 1.0
"""Seconds for which writes go to the pool after a slow one."""


class Executor:
    """The commands of one logical unit, on its device."""

    def __init__(self, unit: LogicalUnit, device: BlockDevice) -> None:
        self._unit = unit
        self._device = device
        self._cautious_until = 0.0
        self._actions: dict[type[Any], Callable[[Any], Buffer | None]] = {
            Read: self._read,
            Write: self._write,
            Flush: self._flush,
            Discard: self._discard,
            Verify: self._verify,
        }

    def refuse_length(self) -> Result:
        """For a write whose data were not taken because it is longer than any command may be."""
        return self._unit.check_condition(Sense(SenseCode.INVALID_FIELD_IN_CDB))

    def try_inline(self, operation: Operation) -> Result | None:
        """The result if the operation can be done without waiting for a medium, else None."""
        if type(operation) is Read and not operation.fua:
            try:
                data = self._device.read_nowait(operation.offset, operation.length)
            except DeviceError:
                return None  # the blocking way deals with it
            return None if data is None else self._unit.finish(operation, data)
        if type(operation) is Write and not operation.fua and time.monotonic() >= self._cautious_until:
            return self.execute(operation)
        return None

    def execute(self, operation: Operation) -> Result:
        """Carry the operation out, however long it takes."""
        try:
            data = self._actions[type(operation)](operation)
        except DeviceError as error:
            return self._unit.fail(operation, error)
        return self._unit.finish(operation, data)

    def _read(self, operation: Read) -> Buffer:
        if operation.fua:
            self._device.flush()
        return self._device.read(operation.offset, operation.length)

    def _write(self, operation: Write) -> None:
        started = time.monotonic()
        self._device.write(operation.offset, operation.data)
        if operation.fua:
            self._device.flush()
        ended = time.monotonic()
        if ended - started > SLOW_WRITE:
            self._cautious_until = ended + CAUTION

    def _flush(self, _operation: Flush) -> None:
        self._device.flush()

    def _discard(self, operation: Discard) -> None:
        for offset, length in operation.ranges:
            self._device.discard(offset, length)

    def _verify(self, operation: Verify) -> Buffer:
        return self._device.read(operation.offset, operation.length)
