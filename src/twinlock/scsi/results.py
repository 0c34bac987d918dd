"""How operations end: a table of what each makes of what the device answered."""

from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import Buffer

from twinlock.scsi.operations import (
    AbortTasks,
    Answer,
    BlockStatus,
    CompareAndWrite,
    Compared,
    Copy,
    Discard,
    Extent,
    Flush,
    Later,
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
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_data import LbaStatusDescriptor, LbaStatusHeader
from twinlock.wire.scsi_sense import SenseCode

Ranges = tuple[tuple[int, int], ...]
_NO_BYTES = (tuple, Compared, type(None))


def wanted(operation: Operation) -> int:
    """Bytes of data-out that the CDB asked for."""
    return getattr(operation, "wanted", 0)


def ranges(operation: Operation) -> Ranges:
    """The (offset, length) of what the operation touches, the first that is touched first."""
    return _RANGES[type(operation)](operation)


# -- where ----------------------------------------------------------------------------------------


def _nowhere(operation: Flush | AbortTasks | Later) -> Ranges:
    return ()


def _by_length(operation: Read | Verify | Prefetch | WriteSame | BlockStatus) -> Ranges:
    return ((operation.offset, operation.length),)


def _by_data(operation: Write | WriteVerify | CompareAndWrite | OrWrite) -> Ranges:
    return ((operation.offset, memoryview(operation.data).nbytes),)


def _of_copy(operation: Copy) -> Ranges:
    """The segment that is under way."""
    source, destination, length = operation.segments[min(operation.job.segments, len(operation.segments) - 1)]
    return (source, length), (destination, length)


_RANGES: dict[type[Any], Callable[[Any], Ranges]] = {
    Read: _by_length,
    Write: _by_data,
    Flush: _nowhere,
    Discard: lambda operation: operation.ranges,
    Verify: _by_length,
    Prefetch: _by_length,
    WriteSame: _by_length,
    WriteVerify: _by_data,
    CompareAndWrite: _by_data,
    OrWrite: _by_data,
    BlockStatus: _by_length,
    Copy: _of_copy,
    AbortTasks: _nowhere,
    Later: _nowhere,
}

# -- how ------------------------------------------------------------------------------------------


def _good(disk: Disk, operation: Operation, _answer: Answer) -> Result:
    return Result(Status.GOOD, data_out_used=getattr(operation, "wanted", 0))


def _read(disk: Disk, _operation: Read, answer: Answer) -> Result:
    return Result(Status.GOOD, _bytes(answer))


def _verified(disk: Disk, operation: Verify | WriteVerify, answer: Answer) -> Result:
    """A miscompare is reported at its block."""
    differ = _difference(answer) if operation.compare else None
    if differ is None:
        return _good(disk, operation, None)
    return _miscompare(disk, operation, (operation.offset + differ) // disk.geometry.block_size)


def _swapped(disk: Disk, operation: CompareAndWrite, answer: Answer) -> Result:
    """A miscompare is reported at its byte, counted from the start of data-out (SBC-3)."""
    differ = _difference(answer)
    return _good(disk, operation, None) if differ is None else _miscompare(disk, operation, differ)


def _miscompare(disk: Disk, operation: Operation, information: int) -> Result:
    sense = Sense(SenseCode.MISCOMPARE_DURING_VERIFY_OPERATION, information)
    return disk.check_condition(sense, wanted(operation))


def _status(disk: Disk, operation: BlockStatus, answer: Answer) -> Result:
    if not isinstance(answer, tuple):
        raise ValueError("the operation returns extents, and none were given")
    data = lba_status(answer, disk.geometry.block_size)
    return Result(Status.GOOD, data[: operation.allocation_length])


def _copied(disk: Disk, operation: Copy, _answer: Answer) -> Result:
    if operation.refusal is None:
        operation.job.succeed()
        return _good(disk, operation, None)
    result = disk.check_condition(operation.refusal, operation.wanted)
    operation.job.fail(result.status, result.sense)
    return result


def fail_copy(disk: Disk, operation: Copy) -> Result:
    """A copy whose device failed: COMMAND-SPECIFIC INFORMATION is the segment that was under way (SPC-4)."""
    sense = Sense(SenseCode.THIRD_PARTY_DEVICE_FAILURE, command_specific=operation.job.segments)
    result = disk.check_condition(sense, operation.wanted)
    operation.job.fail(result.status, result.sense)
    return result


FINISH: dict[type[Any], Callable[[Disk, Any, Answer], Result]] = {
    Read: _read,
    Write: _good,
    Flush: _good,
    Discard: _good,
    Verify: _verified,
    Prefetch: _good,
    WriteSame: _good,
    WriteVerify: _verified,
    CompareAndWrite: _swapped,
    OrWrite: _good,
    BlockStatus: _status,
    Copy: _copied,
    AbortTasks: _good,
}
"""What makes the result of an operation that succeeded."""


def lba_status(extents: Sequence[Extent], block_size: int) -> bytes:
    """Parameter data of GET LBA STATUS."""
    body = b"".join(
        LbaStatusDescriptor(
            logical_block_address=each.offset // block_size,
            number_of_blocks=each.length // block_size,
            deallocated=not each.mapped,
        ).build()
        for each in extents
    )
    return LbaStatusHeader(parameter_data_length=LbaStatusHeader.SIZE - 4 + len(body)).build() + body


def _bytes(answer: Answer) -> Buffer:
    if isinstance(answer, _NO_BYTES):
        raise ValueError("the operation returns data, and none was given")
    return answer


def _difference(answer: Answer) -> int | None:
    if not isinstance(answer, Compared):
        raise ValueError("the operation compares, and no comparison was given")
    return answer.differ
