"""How operations end: a table of what each makes of what the device answered."""

from collections.abc import Callable, Sequence
from typing import Any

from typing_extensions import Buffer

from twinlock.scsi.operations import (
    AbortTasks,
    Answer,
    BlockStatus,
    CompareAndWrite,
    Copy,
    Discard,
    Extent,
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
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_data import LbaStatusDescriptor, LbaStatusHeader
from twinlock.wire.scsi_sense import SenseCode

Ranges = tuple[tuple[int, int], ...]


def wanted(operation: Operation) -> int:
    """Bytes of data-out that the CDB asked for."""
    return getattr(operation, "wanted", 0)


def ranges(operation: Operation) -> Ranges:
    """The (offset, length) of what the operation touches, the first that is touched first."""
    return _RANGES[type(operation)](operation)


def finish(disk: Disk, operation: Operation, answer: Answer) -> Result:
    """The result of an operation that succeeded."""
    return _FINISH[type(operation)](disk, operation, answer)


# -- where ----------------------------------------------------------------------------------------


def _nowhere(operation: Flush | AbortTasks) -> Ranges:
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
}

# -- how ------------------------------------------------------------------------------------------


def _good(disk: Disk, operation: Operation, _answer: Answer) -> Result:
    return Result(Status.GOOD, data_out_used=wanted(operation))


def _read(disk: Disk, _operation: Read, answer: Answer) -> Result:
    return Result(Status.GOOD, _bytes(answer))


def _verified(disk: Disk, operation: Verify, answer: Answer) -> Result:
    if operation.compare is None:
        return _good(disk, operation, answer)
    return _compared(disk, operation, operation.compare, _bytes(answer))


def _written(disk: Disk, operation: WriteVerify, answer: Answer) -> Result:
    if not operation.compare:
        return _good(disk, operation, answer)
    return _compared(disk, operation, operation.data, _bytes(answer))


def _compared(disk: Disk, operation: Verify | WriteVerify, expected: Buffer, found: Buffer) -> Result:
    """A miscompare is reported at its block."""
    differs = first_difference(found, expected)
    if differs is None:
        return _good(disk, operation, None)
    block = (operation.offset + differs) // disk.geometry.block_size
    return _miscompare(disk, operation, block)


def _swapped(disk: Disk, operation: CompareAndWrite, answer: Answer) -> Result:
    """A miscompare is reported at its byte, counted from the start of data-out (SBC-3)."""
    differs = first_difference(_bytes(answer), operation.compare)
    return _good(disk, operation, None) if differs is None else _miscompare(disk, operation, differs)


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
    operation.job.fail(result.sense)
    return result


def fail_copy(disk: Disk, operation: Copy) -> Result:
    """A copy whose device failed: COMMAND-SPECIFIC INFORMATION is the segment that was under way (SPC-4)."""
    sense = Sense(SenseCode.THIRD_PARTY_DEVICE_FAILURE, command_specific=operation.job.segments)
    result = disk.check_condition(sense, operation.wanted)
    operation.job.fail(result.sense)
    return result


_FINISH: dict[type[Any], Callable[[Disk, Any, Answer], Result]] = {
    Read: _read,
    Write: _good,
    Flush: _good,
    Discard: _good,
    Verify: _verified,
    Prefetch: _good,
    WriteSame: _good,
    WriteVerify: _written,
    CompareAndWrite: _swapped,
    OrWrite: _good,
    BlockStatus: _status,
    Copy: _copied,
    AbortTasks: _good,
}


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


def first_difference(found: Buffer, expected: Buffer) -> int | None:
    """Where two buffers of one length begin to differ, None if they do not."""
    ours, theirs = bytes(found), bytes(expected)
    if ours == theirs:
        return None
    low, high = 0, len(ours)  # they are alike before ``low``, and differ somewhere before ``high``
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if ours[low:middle] != theirs[low:middle] else (middle, high)
    return low


def _bytes(answer: Answer) -> Buffer:
    if answer is None or isinstance(answer, tuple):
        raise ValueError("the operation returns data, and none was given")
    return answer
