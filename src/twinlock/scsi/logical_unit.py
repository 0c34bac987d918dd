"""A disk as an initiator sees it: the opcode table, and how operations become results."""

from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.scsi import results, vpd
from twinlock.scsi.commands import (
    cache,
    capacity,
    compare_and_write,
    copy_results,
    defect_data,
    extended_copy,
    inquiry,
    lba_status,
    log_sense,
    mode_select,
    mode_sense,
    or_write,
    persistent_reserve_in,
    persistent_reserve_out,
    prefetch,
    read_write,
    report_luns,
    report_opcodes,
    report_task_management,
    reserve_release,
    unit_state,
    unmap,
    verify,
    write_same,
    write_verify,
)
from twinlock.scsi.geometry import Geometry, Limits
from twinlock.scsi.identity import Identity
from twinlock.scsi.mode_values import ModeValues
from twinlock.scsi.operations import Answer, Copy, Operation, Result
from twinlock.scsi.reservations.record import ReservationStore
from twinlock.scsi.sense import Sense
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_sense import SenseCode

COMMANDS = (
    *unit_state.COMMANDS,
    *inquiry.COMMANDS,
    *mode_sense.COMMANDS,
    *mode_select.COMMANDS,
    *log_sense.COMMANDS,
    *defect_data.COMMANDS,
    *persistent_reserve_in.COMMANDS,
    *persistent_reserve_out.COMMANDS,
    *reserve_release.COMMANDS,
    *report_luns.COMMANDS,
    *report_opcodes.COMMANDS,
    *report_task_management.COMMANDS,
    *capacity.COMMANDS,
    *read_write.COMMANDS,
    *verify.COMMANDS,
    *cache.COMMANDS,
    *unmap.COMMANDS,
    *write_same.COMMANDS,
    *write_verify.COMMANDS,
    *compare_and_write.COMMANDS,
    *or_write.COMMANDS,
    *prefetch.COMMANDS,
    *lba_status.COMMANDS,
    *extended_copy.COMMANDS,
    *copy_results.COMMANDS,
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
    for block addresses above 2^32, until an initiator decides otherwise;
    ``reservations_store`` keeps persistent reservations across restarts (APTPL),
    and raises what it raises if they cannot be read, DamagedRecord if they are no record.
    """

    def __init__(
        self,
        identity: Identity,
        geometry: Geometry,
        *,
        limits: Limits | None = None,
        read_only: bool = False,
        descriptor_sense: bool = False,
        reservations_store: ReservationStore | None = None,
    ) -> None:
        super().__init__(
            identity,
            geometry,
            COMMANDS,
            limits=limits or Limits(),
            vpd_pages=vpd.DISK_PAGES,
            read_only=read_only,
            mode=ModeValues(descriptor_sense=descriptor_sense),
            reservations_store=reservations_store,
        )

    def finish(self, operation: Operation, answer: Answer = None) -> Result:
        """The result of an operation that succeeded; ValueError if the ``answer`` it yields is missing."""
        return results.FINISH[type(operation)](self, operation, answer)

    def fail(self, operation: Operation, error: DeviceError) -> Result:
        """The result of an operation that failed; INFORMATION is the first block that is known to be bad."""
        if isinstance(operation, Copy):
            return results.fail_copy(self, operation)
        kind = next(each for each in type(error).__mro__ if each in SENSE_OF_ERROR)
        sense = Sense(SENSE_OF_ERROR[kind], self._failed_block(operation, error))
        return self.check_condition(sense, results.wanted(operation))

    def resize(self, blocks: int) -> None:
        """The disk has ``blocks`` logical blocks from now on; every initiator is told (SBC-3, capacity)."""
        size, physical = self.geometry.block_size, self.geometry.physical_block_size
        self.geometry = Geometry(blocks, size, physical, self.geometry.discard)
        self.attentions.establish(SenseCode.CAPACITY_DATA_HAS_CHANGED)

    def _failed_block(self, operation: Operation, error: DeviceError) -> int | None:
        """The block of the error's offset if that is the operation's; else the operation's first."""
        ranges = results.ranges(operation)
        if not ranges:
            return None
        inside = error.offset is not None and any(
            start <= error.offset < start + length for start, length in ranges
        )
        offset = error.offset if inside and error.offset is not None else ranges[0][0]
        return offset // self.geometry.block_size
