"""Carries out what the SCSI layer decided, on a block device.

Reads that the page cache can answer, and writes while the device keeps up, are
done at once in the caller's thread: a hand-over to another thread costs more
than they do.  What may wait for a medium goes to the pool, so that one slow
command holds up no other.  Commands that move more than one transfer do it in
pieces, and look between them whether anybody still wants it.
"""

from collections.abc import Callable
from threading import Semaphore
from typing import Any

from typing_extensions import Buffer

from twinlock.block.device import BlockDevice
from twinlock.errors import DeviceError
from twinlock.scsi.logical_unit import LogicalUnit
from twinlock.scsi.operations import (
    Answer,
    BlockStatus,
    CompareAndWrite,
    Compared,
    Copy,
    Discard,
    Flush,
    Operation,
    OrWrite,
    Prefetch,
    Read,
    Result,
    Status,
    Verify,
    Write,
    WriteSame,
    WriteVerify,
)
from twinlock.scsi.sense import Sense
from twinlock.server.exclusion import Exclusion
from twinlock.server.extents import extents
from twinlock.server.pace import Pace
from twinlock.server.pieces import either, first_difference, pieces, repeated
from twinlock.wire.scsi_sense import SenseCode

GivenUp = Callable[[], bool]
"""Whether nobody wants the command any more: it was aborted, or its connection is gone."""


PIECES_IN_MEMORY = 16
"""Pieces of long commands in memory at a time, however many commands there are: no data-out bounds them."""
_READS = (Read, BlockStatus, Prefetch)
"""Without FUA these neither write nor flush: no write has to wait for them."""


class _Ended(Exception):
    """A command ends with ``status``, before it is done."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


class Executor:
    """The commands of one logical unit, on its device."""

    def __init__(self, unit: LogicalUnit, device: BlockDevice) -> None:
        self._unit = unit
        self._device = device
        self._pace = Pace()
        self._exclusion = Exclusion()
        self._copies = Semaphore(unit.limits.copies)
        self._memory = Semaphore(PIECES_IN_MEMORY)  # whoever has it waits for no range any more
        self._actions: dict[type[Any], Callable[[Any, GivenUp], Answer]] = {
            Read: self._read,
            Write: self._write,
            Flush: self._flush,
            Discard: self._discard,
            Verify: self._verify,
            Prefetch: self._prefetch,
            WriteSame: self._write_same,
            WriteVerify: self._write_verify,
            CompareAndWrite: self._compare_and_write,
            OrWrite: self._or_write,
            BlockStatus: self._block_status,
            Copy: self._copy,
        }

    def refuse_length(self) -> Result:
        """For a write whose data were not taken because it is longer than any command may be."""
        return self._unit.check_condition(Sense(SenseCode.INVALID_FIELD_IN_CDB))

    def try_inline(self, operation: Operation) -> Result | None:
        """The result if the operation can be done without waiting for a medium, else None."""
        if type(operation) is Read and not operation.fua:
            return self._try_read(operation)
        if type(operation) is Write and not operation.fua:
            return self._try_write(operation)
        return None

    def execute(self, operation: Operation, given_up: GivenUp = lambda: False) -> Result:
        """Carry the operation out, however long it takes; if ``given_up``, to TASK ABORTED halfway."""
        if type(operation) in _READS and not getattr(operation, "fua", False):
            return self._execute(operation, given_up)
        turn = self._pace.begin(lasting=type(operation) is not Write or operation.fua)
        try:
            return self._execute(operation, given_up)
        finally:
            self._pace.end(turn)

    def _execute(self, operation: Operation, given_up: GivenUp) -> Result:
        try:
            self._go_on(given_up)
            answer = self._actions[type(operation)](operation, given_up)
        except DeviceError as error:
            return self._unit.fail(operation, error)
        except _Ended as ended:
            if isinstance(operation, Copy):
                operation.job.fail(ended.status)
            return Result(ended.status)
        return self._unit.finish(operation, answer)

    # -- at once ----------------------------------------------------------------------------------

    def _try_read(self, operation: Read) -> Result | None:
        try:
            data = self._device.read_nowait(operation.offset, operation.length)
        except DeviceError:
            return None  # the blocking way deals with it
        return None if data is None else self._unit.finish(operation, data)

    def _try_write(self, operation: Write) -> Result | None:
        turn = self._pace.try_begin()
        if turn is None:
            return None
        try:
            ticket = self._exclusion.try_share(operation.offset, memoryview(operation.data).nbytes)
            if ticket is None:
                return None
            try:
                self._device.write(operation.offset, operation.data)
            finally:
                self._exclusion.leave(ticket)
        except DeviceError as error:
            return self._unit.fail(operation, error)
        finally:
            self._pace.end(turn)
        return self._unit.finish(operation)

    # -- reads ------------------------------------------------------------------------------------

    def _read(self, operation: Read, _given_up: GivenUp) -> Buffer:
        if operation.fua:
            self._device.flush()
        return self._device.read(operation.offset, operation.length)

    def _verify(self, operation: Verify, given_up: GivenUp) -> Compared:
        self._device.flush()
        return self._read_back(operation.offset, operation.length, operation.compare, given_up)

    def _read_back(self, offset: int, length: int, expected: Buffer | None, given_up: GivenUp) -> Compared:
        """Read from the medium, up to where it is not as ``expected``."""
        for start, count in pieces(offset, length):
            self._go_on(given_up)
            with self._memory:
                differ = self._difference(start, count, expected, start - offset)
            if differ is not None:
                return Compared(start - offset + differ)
        return Compared(None)

    def _difference(self, start: int, count: int, expected: Buffer | None, at: int) -> int | None:
        """Where a piece on the medium first differs from ``expected``, which is looked at from ``at`` on."""
        found = self._device.read_medium(start, count)
        return None if expected is None else first_difference(found, repeated(expected, at, count))

    def _prefetch(self, operation: Prefetch, _given_up: GivenUp) -> None:
        self._device.prefetch(operation.offset, operation.length)

    def _block_status(self, operation: BlockStatus, given_up: GivenUp) -> Answer:
        block_size = self._unit.geometry.block_size
        end = operation.offset + operation.length
        return extents(self._device, operation.offset, end, block_size, operation.most)

    # -- writes -----------------------------------------------------------------------------------

    def _write(self, operation: Write, _given_up: GivenUp) -> None:
        with self._exclusion.shared(operation.offset, memoryview(operation.data).nbytes):
            self._device.write(operation.offset, operation.data)
        self._force(operation.fua)

    def _write_verify(self, operation: WriteVerify, given_up: GivenUp) -> Compared:
        """Alone, for another write in between would be taken for a broken medium."""
        length = memoryview(operation.data).nbytes
        with self._exclusion.alone(operation.offset, length):
            self._device.write(operation.offset, operation.data)
            self._device.flush()
            expected = operation.data if operation.compare else None
            return self._read_back(operation.offset, length, expected, given_up)

    def _write_same(self, operation: WriteSame, given_up: GivenUp) -> None:
        block = bytes(operation.block)
        for start, length in pieces(operation.offset, operation.length):
            self._go_on(given_up)
            with self._exclusion.shared(start, length), self._memory:
                self._device.write(start, repeated(block, 0, length))

    def _compare_and_write(self, operation: CompareAndWrite, _given_up: GivenUp) -> Compared:
        expected = bytes(operation.compare)
        with self._exclusion.alone(operation.offset, len(expected)):
            found = self._device.read(operation.offset, len(expected))
            differ = first_difference(found, expected)
            if differ is None:
                self._device.write(operation.offset, operation.data)
        self._force(operation.fua and differ is None)
        return Compared(differ)

    def _or_write(self, operation: OrWrite, _given_up: GivenUp) -> None:
        length = memoryview(operation.data).nbytes
        with self._exclusion.alone(operation.offset, length):
            found = self._device.read(operation.offset, length)
            self._device.write(operation.offset, either(found, operation.data))
        self._force(operation.fua)

    def _discard(self, operation: Discard, given_up: GivenUp) -> None:
        for offset, length in operation.ranges:
            self._go_on(given_up)
            with self._exclusion.shared(offset, length):
                self._device.discard(offset, length)

    def _flush(self, _operation: Flush, _given_up: GivenUp) -> None:
        self._device.flush()

    def _force(self, wanted: bool) -> None:
        """FUA: on the medium before the command ends."""
        if wanted:
            self._device.flush()

    # -- copies -----------------------------------------------------------------------------------

    def _copy(self, operation: Copy, given_up: GivenUp) -> None:
        if not self._copies.acquire(blocking=False):
            raise _Ended(Status.BUSY)
        try:
            for source, destination, length in operation.segments:
                self._copy_segment(operation, source, destination, length, given_up)
                operation.job.segments += 1
        finally:
            self._copies.release()

    def _copy_segment(
        self, operation: Copy, source: int, destination: int, length: int, given_up: GivenUp
    ) -> None:
        """Where source and destination overlap, nothing is overwritten before it is copied."""
        distance = destination - source
        for start, count in pieces(source, length, backwards=0 < distance < length):
            self._go_on(given_up)
            data = self._device.read(start, count)
            with self._exclusion.shared(start + distance, count):
                self._device.write(start + distance, data)
            operation.job.advance(count)

    @staticmethod
    def _go_on(given_up: GivenUp) -> None:
        if given_up():
            raise _Ended(Status.TASK_ABORTED)
