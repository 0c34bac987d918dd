"""The data of one write: immediate, unsolicited and solicited, in order (RFC 7143 sections 4.2.5.2 and 11.7).

Data come in bursts.  Unsolicited Data-Outs are a burst nobody asked for, and each
R2T asks for one; inside a burst DataSN counts from 0 and the offsets have no gaps
(DataPDUInOrder and DataSequenceInOrder are always Yes), so gathering is appending.
"""

from collections import deque
from collections.abc import Callable, Iterator

from typing_extensions import Buffer

from twinlock.iscsi.parameters import Parameters
from twinlock.iscsi.task import Task
from twinlock.iscsi.write_fault import GatheringFailed, WriteFault
from twinlock.wire.iscsi_codes import RESERVED_TAG
from twinlock.wire.iscsi_requests import DataOut


class Burst:
    """One sequence of Data-Outs: the bytes of the write from ``start`` up to ``end``."""

    __slots__ = ("data_sn", "end", "start", "tag")

    def __init__(self, tag: int, start: int, end: int) -> None:
        self.tag = tag
        self.start = start
        self.end = end
        self.data_sn = 0

    @property
    def solicited(self) -> bool:
        """An R2T asked for it, so it must come complete."""
        return self.tag != RESERVED_TAG


class WriteTransfer:
    """A write that is being gathered; the memory it uses grows with the data that have come."""

    __slots__ = ("_bursts", "_damaged", "_solicited", "data", "task")

    def __init__(self, task: Task, immediate: Buffer, *, unsolicited_end: int | None) -> None:
        """``unsolicited_end``: where unsolicited Data-Outs end at the latest, None if there are none."""
        self.task = task
        self.data = bytearray(immediate)
        self._bursts: deque[Burst] = deque()
        self._solicited = len(self.data)
        self._damaged = False
        if unsolicited_end is not None:
            self._bursts.append(Burst(RESERVED_TAG, len(self.data), unsolicited_end))

    @property
    def complete(self) -> bool:
        """All the data are there."""
        return len(self.data) == self.task.expected_length

    @property
    def idle(self) -> bool:
        """No burst is under way."""
        return not self._bursts

    def receive(self, header: DataOut, data: memoryview, *, intact: bool = True) -> None:
        """Take one Data-Out; raises :class:`GatheringFailed`.

        A piece that is not ``intact`` (its digest is wrong) dooms the write, but it ends only once all that
        was asked for has come (RFC 7143 section 7.8); nothing more is asked for.
        """
        burst = self._burst_of(header)
        if header.data_sn != burst.data_sn:
            raise GatheringFailed(WriteFault.DATA_PHASE_ERROR)
        if header.buffer_offset != len(self.data):
            raise GatheringFailed(WriteFault.DATA_OFFSET_ERROR)
        if len(self.data) + len(data) > burst.end:
            raise GatheringFailed(WriteFault.INCORRECT_AMOUNT_OF_DATA)
        self.data += data
        burst.data_sn += 1
        self._damaged = self._damaged or not intact
        if header.final or len(self.data) == burst.end:
            self._end(burst)
        if self._damaged and self.idle:
            raise GatheringFailed(WriteFault.PROTOCOL_SERVICE_CRC_ERROR)

    def _burst_of(self, header: DataOut) -> Burst:
        if self._bursts and self._bursts[0].tag == header.target_transfer_tag:
            return self._bursts[0]
        if header.target_transfer_tag == RESERVED_TAG:
            raise GatheringFailed(WriteFault.UNEXPECTED_UNSOLICITED_DATA)
        raise GatheringFailed(WriteFault.INVALID_TARGET_PORT_TRANSFER_TAG)

    def _end(self, burst: Burst) -> None:
        if burst.solicited and len(self.data) < burst.end:
            raise GatheringFailed(WriteFault.INCORRECT_AMOUNT_OF_DATA)
        self._bursts.popleft()
        self._solicited = max(self._solicited, len(self.data))

    def solicit(self, parameters: Parameters, take_tag: Callable[[], int]) -> Iterator[Burst]:
        """The bursts to ask for now: as many as may be outstanding, once what comes unasked has come."""
        if self._damaged or (self._bursts and not self._bursts[0].solicited):
            return
        expected = self.task.expected_length
        while len(self._bursts) < parameters.max_outstanding_r2t and self._solicited < expected:
            end = min(self._solicited + parameters.max_burst_length, expected)
            burst = Burst(take_tag(), self._solicited, end)
            self._solicited = end
            self._bursts.append(burst)
            yield burst
