"""Data, residuals and the one response of each task (RFC 7143 sections 11.3, 11.4, 11.7, 11.8).

The judge does not know which commands the target took: one outside the window, say, is
passed over.  So each tag has its candidates, in the order in which they were sent, and
what the target sends must suit one of them.
"""

from collections import defaultdict, deque
from dataclasses import dataclass

from tests.fuzz.oracle import rules
from tests.fuzz.oracle.rules import Broken, require
from tests.fuzz.streams import RawPdu

_MOST_FORESEEN = 1000
_GOOD, _CHECK_CONDITION = 0x00, 0x02


@dataclass(slots=True)
class Limits:
    """What was negotiated, as far as it bounds the target."""

    segment: int = rules.DEFAULT_SEGMENT
    max_burst: int = 262144
    outstanding_r2ts: int = 1


@dataclass(slots=True, eq=False)
class Candidate:
    """A SCSI command that was sent."""

    header: bytes
    reads: bool
    writes: bool
    expected: int
    given: int
    """Bytes of data sent with it, and later for its tag."""

    @classmethod
    def of(cls, pdu: RawPdu) -> "Candidate":
        reads, writes = pdu.flag(6), pdu.flag(5)
        return cls(pdu.header, reads, writes, pdu.u32(20) if reads or writes else 0, len(pdu.data))


@dataclass(slots=True)
class Progress:
    """What came for a tag since its command."""

    pdus: int = 0
    data: int = 0
    burst: int = 0
    in_burst: bool = False
    solicited: int | None = None


@dataclass(slots=True)
class Request:
    """An R2T that is not answered in full."""

    itt: int
    missing: int


class Tasks:
    """The tasks of one session."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._candidates: defaultdict[int, deque[Candidate]] = defaultdict(deque)
        self._spent: defaultdict[int, int] = defaultdict(int)
        """Responses of which it cannot be told whose they were."""
        self._progress: defaultdict[int, Progress] = defaultdict(Progress)
        self._requests: dict[int, Request] = {}
        self._foreseen: set[int] = set()

    @property
    def unanswered(self) -> int:
        """Commands without a response."""
        return sum(map(len, self._candidates.values())) - sum(self._spent.values())

    @property
    def solicits(self) -> bool:
        """R2Ts are not answered in full."""
        return bool(self._requests)

    # -- from the initiator -------------------------------------------------------------------------

    def command(self, pdu: RawPdu) -> None:
        self._candidates[pdu.itt].append(Candidate.of(pdu))

    def data_out(self, pdu: RawPdu) -> None:
        for candidate in self._candidates[pdu.itt]:
            candidate.given += len(pdu.data)
        request = self._requests.get(pdu.u32(20))
        if request is not None and request.itt == pdu.itt:
            request.missing -= len(pdu.data)
            if pdu.flag(7) or request.missing <= 0:
                del self._requests[pdu.u32(20)]
        elif request is None and len(self._foreseen) < _MOST_FORESEEN:
            self._foreseen.add(pdu.u32(20))

    # -- from the target ----------------------------------------------------------------------------

    def rejected(self, header: bytes) -> None:
        """A command that was rejected gets no response."""
        itt = int.from_bytes(header[16:20], "big")
        waiting = self._candidates[itt]
        found = next((each for each in reversed(waiting) if each.header == header), None)
        if found is not None:
            waiting.remove(found)

    def data_in(self, pdu: RawPdu) -> None:
        offset, data_sn = pdu.u32(40), pdu.u32(36)
        progress = self._current(pdu.itt, begins=data_sn == 0 and offset == 0)
        require(any(each.reads for each in self._candidates[pdu.itt]), "Data-In for no read")
        require(data_sn == progress.pdus, f"DataSN {data_sn} instead of {progress.pdus}")
        require(offset == progress.data, f"Data-In at {offset} instead of {progress.data}")
        require(len(pdu.data) > 0, "Data-In without data")
        progress.pdus += 1
        progress.data += len(pdu.data)
        longest = max(each.expected for each in self._candidates[pdu.itt])
        require(progress.data <= longest, "more Data-In than the initiator expects")
        progress.burst += len(pdu.data)
        require(progress.burst <= self._limits.max_burst, "a sequence of Data-In beyond MaxBurstLength")
        progress.in_burst = not pdu.flag(7)
        if pdu.flag(7):
            progress.burst = 0
        if pdu.flag(0):
            require(pdu.flag(7), "a status in a Data-In that is not final")
            require(pdu.header[3] in (0x00, 0x04), "a bad status in a Data-In")
            self._end(pdu, pdu.header[3])

    def r2t(self, pdu: RawPdu) -> None:
        tag, offset, length = pdu.u32(20), pdu.u32(40), pdu.u32(44)
        progress = self._current(pdu.itt, begins=pdu.u32(36) == 0)
        waiting = [each for each in self._candidates[pdu.itt] if each.writes]
        require(bool(waiting), "R2T for no write")
        require(pdu.u32(36) == progress.pdus, "R2TSN out of order")
        require(0 < length <= self._limits.max_burst, f"R2T for {length} bytes")
        require(any(offset + length <= each.expected for each in waiting), "R2T beyond the write's end")
        same = any(each.header[8:16] == pdu.header[8:16] for each in waiting)
        require(same, "R2T with another LUN")
        require(progress.solicited in (None, offset), "R2Ts with a gap")
        require(tag != rules.NO_TAG and tag not in self._requests, "R2T with a tag that is not free")
        progress.pdus += 1
        progress.solicited = offset + length
        if tag not in self._foreseen:  # some guess the tag, and answer before they are asked
            self._requests[tag] = Request(pdu.itt, length)
        outstanding = sum(each.itt == pdu.itt for each in self._requests.values())
        require(outstanding <= self._limits.outstanding_r2ts, "more R2Ts than MaxOutstandingR2T")

    def response(self, pdu: RawPdu) -> None:
        status = pdu.header[3]
        require(pdu.header[2] in (0, 1), "an iSCSI response code that is not defined")
        require(status in rules.SCSI_STATUSES, f"SCSI status {status:#x}")
        self._sense(pdu, status)
        self._end(pdu, status)

    def _sense(self, pdu: RawPdu, status: int) -> None:
        """Autosense (section 11.4.7)."""
        if status != _CHECK_CONDITION:
            return
        require(len(pdu.data) >= 2 + 8, "CHECK CONDITION without sense data")
        length = int.from_bytes(pdu.data[:2], "big")
        require(length == len(pdu.data) - 2, "SenseLength is not that of the sense data")
        require(pdu.data[2] & 0x7F in rules.SENSE_FORMATS, "sense data of no known format")
        require(pdu.data[9] == length - 8, "ADDITIONAL SENSE LENGTH is wrong")

    def _current(self, itt: int, *, begins: bool) -> Progress:
        """The progress of the task; the first PDU of another with the same tag begins anew."""
        waiting = self._candidates[itt]
        require(bool(waiting), "data for no task")
        if begins and self._progress[itt].pdus and len(waiting) > 1:
            waiting.popleft()  # it was aborted in silence
            self._forget(itt)
        return self._progress[itt]

    def _forget(self, itt: int) -> None:
        self._progress.pop(itt, None)
        self._requests = {tag: each for tag, each in self._requests.items() if each.itt != itt}

    def _end(self, pdu: RawPdu, status: int) -> None:
        waiting, progress = self._candidates[pdu.itt], self._progress[pdu.itt]
        require(bool(waiting), "a response for no task (or a second one)")
        faults = [self._fault(each, progress, pdu, status) for each in waiting]
        if None not in faults:
            raise Broken(f"{faults[0]}")
        if pdu.opcode == rules.RESPONSE and len(waiting) == 1:
            require(pdu.u32(36) == progress.pdus, "ExpDataSN is not the number of Data-In and R2T")
        require(not progress.in_burst, "the last Data-In was not final")
        self._spend(
            pdu.itt, waiting, [each for each, fault in zip(waiting, faults, strict=True) if not fault]
        )
        self._forget(pdu.itt)

    def _spend(self, itt: int, waiting: deque[Candidate], suitable: list[Candidate]) -> None:
        """One of the ``suitable`` was answered; where it cannot be told which, they all stay in question."""
        if len(suitable) == 1:
            waiting.remove(suitable[0])
        else:
            self._spent[itt] += 1
        if self._spent[itt] >= len(waiting):
            waiting.clear()
            self._spent[itt] = 0

    def _fault(self, task: Candidate, progress: Progress, pdu: RawPdu, status: int) -> str | None:
        """Why the response cannot be this command's."""
        overflow, underflow, residual = pdu.flag(2), pdu.flag(1), pdu.u32(44)
        if overflow and underflow:
            return "overflow and underflow at once"
        if (residual > 0) != (overflow or underflow):
            return "a residual count and its flags that do not agree"
        missing = residual if underflow else 0
        if missing > task.expected:
            return "an underflow of more than was expected"
        if task.reads and progress.data != task.expected - missing:
            return f"{progress.data} bytes came, {task.expected} less {missing} were announced"
        if task.writes and status == _GOOD and task.given < task.expected - missing:
            return "GOOD for a write whose data were not taken"
        return None
