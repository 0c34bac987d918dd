"""A disk as an initiator sees it: the opcode table, and how operations become results."""

from typing_extensions import Buffer

from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.scsi import vpd
from twinlock.scsi.commands import (
    cache,
    capacity,
    inquiry,
    mode_sense,
    read_write,
    report_luns,
    report_opcodes,
    unit_state,
    unmap,
    verify,
)
from twinlock.scsi.geometry import Geometry, Limits
from twinlock.scsi.identity import Identity
from twinlock.scsi.operations import Discard, Flush, Operation, Read, Result, Status, Verify
from twinlock.scsi.sense import Sense
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_sense import SenseCode

COMMANDS = (
    *unit_state.COMMANDS,
    *inquiry.COMMANDS,
    *mode_sense.COMMANDS,
    *report_luns.COMMANDS,
    *report_opcodes.COMMANDS,
    *capacity.COMMANDS,
    *read_write.COMMANDS,
    *verify.COMMANDS,
    *cache.COMMANDS,
    *unmap.COMMANDS,
)
"""The opcode table of a disk; ``docs/conformance.md`` lists it."""

SENSE_OF_ERROR: dict[type[DeviceError], SenseCode] = {
    MediumError: SenseCode.UNRECOVERED_READ_ERROR,
    WriteFailed: SenseCode.WRITE_ERROR,
    SpaceExhausted: SenseCode.SPACE_ALLOCATION_FAILED_WRITE_PROTECT,
    DeviceGone: SenseCode.INTERNAL_TARGET_FAILURE,
    DeviceError: SenseCode.INTERNAL_TARGET_FAILURE,
}
"""What a device's failure is called on the wire."""


class LogicalUnit(Disk):
    """A disk of ``geometry``; see :mod:`twinlock.scsi` for how a command runs through it.

    ``read_only`` refuses every command that changes the medium;
    ``descriptor_sense`` reports sense data in descriptor format, which has room
    for block addresses above 2^32.
    """

    def __init__(
        self,
        identity: Identity,
        geometry: Geometry,
        *,
        limits: Limits | None = None,
        read_only: bool = False,
        descriptor_sense: bool = False,
    ) -> None:
        self.write_protected = read_only
        self.descriptor_sense = descriptor_sense
        super().__init__(identity, geometry, COMMANDS, limits=limits or Limits(), vpd_pages=vpd.DISK_PAGES)

    def finish(self, operation: Operation, data: Buffer | None = None) -> Result:
        """The result of an operation that succeeded.

        ``data`` is what a Read returned, or a Verify with something to compare;
        ValueError if it is missing.
        """
        if isinstance(operation, Read):
            return Result(Status.GOOD, _given(data))
        if isinstance(operation, Flush):
            return Result(Status.GOOD)
        if isinstance(operation, Verify) and operation.compare is not None:
            return self._compare(operation, operation.compare, _given(data))
        return Result(Status.GOOD, data_out_used=operation.wanted)

    def fail(self, operation: Operation, error: DeviceError) -> Result:
        """The result of an operation that failed; INFORMATION is the first block that is known to be bad."""
        kind = next(each for each in type(error).__mro__ if each in SENSE_OF_ERROR)
        sense = Sense(SENSE_OF_ERROR[kind], block=self._failed_block(operation, error))
        return self.check_condition(sense, _wanted(operation))

    def resize(self, blocks: int) -> None:
        """The disk has ``blocks`` logical blocks from now on; every initiator is told (SBC-3, capacity)."""
        size, physical = self.geometry.block_size, self.geometry.physical_block_size
        self.geometry = Geometry(blocks, size, physical, self.geometry.discard)
        self.attentions.establish(SenseCode.CAPACITY_DATA_HAS_CHANGED)

    def _compare(self, operation: Verify, expected: Buffer, data: Buffer) -> Result:
        size = self.geometry.block_size
        ours, theirs = memoryview(data).cast("B"), memoryview(expected).cast("B")
        if ours == theirs:
            return Result(Status.GOOD, data_out_used=operation.wanted)
        starts = range(0, operation.length, size)
        differs = next(at for at in starts if ours[at : at + size] != theirs[at : at + size])
        block = (operation.offset + differs) // size
        return self.check_condition(
            Sense(SenseCode.MISCOMPARE_DURING_VERIFY_OPERATION, block=block), operation.wanted
        )

    def _failed_block(self, operation: Operation, error: DeviceError) -> int | None:
        """The block of the error's offset if that is the operation's; else the operation's first."""
        ranges = _ranges(operation)
        if not ranges:
            return None
        inside = error.offset is not None and any(
            start <= error.offset < start + length for start, length in ranges
        )
        offset = error.offset if inside and error.offset is not None else ranges[0][0]
        return offset // self.geometry.block_size


def _given(data: Buffer | None) -> Buffer:
    if data is None:
        raise ValueError("the operation returns data, and none was given")
    return data


def _wanted(operation: Operation) -> int:
    return 0 if isinstance(operation, Read | Flush) else operation.wanted


def _ranges(operation: Operation) -> tuple[tuple[int, int], ...]:
    if isinstance(operation, Flush):
        return ()
    if isinstance(operation, Discard):
        return operation.ranges
    if isinstance(operation, Read | Verify):
        return ((operation.offset, operation.length),)
    return ((operation.offset, memoryview(operation.data).nbytes),)
