"""What is to be sent: PDUs that wait, without their numbers, until the owner can send them.

A header is made when its PDU is taken, so StatSN, ExpCmdSN and MaxCmdSN are those
of that moment, and whatever is withdrawn before leaves no gap.  There are two
queues.  Answers that carry no data go first, so that a ping is not kept waiting by
megabytes; Data-In and R2T follow.  An answer never overtakes data of its own task.
Data are never copied.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from typing_extensions import Buffer

from twinlock.iscsi.digest import NO_DIGESTS, digest
from twinlock.iscsi.framing import PADDING
from twinlock.iscsi.sequence import CommandWindow, following
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_requests import BHS_SIZE
from twinlock.wire.iscsi_responses import LoginResponse
from twinlock.wire.structure import Structure


class StatSN(Enum):
    """What a PDU does with the sequence number of statuses."""

    ABSENT = auto()
    """The field is reserved: Data-In without status (RFC 7143 section 11.7.4)."""
    SHOWN = auto()
    """The next number, which stays the next: R2T, and pings of the target."""
    USED = auto()
    """The next number, which is used up: everything that is a status or an answer."""


_ABSENT, _USED = StatSN.ABSENT, StatSN.USED  # looking up a member costs as much as a call
Kind = Callable[..., Structure]
_Data = bytes | memoryview
_Waiting = tuple[Kind, _Data, int, StatSN, Task | None, dict[str, Any]]
"""How to make the header; data and their length in bytes; StatSN; whose it is; the other fields."""


class Outbox:
    """The output of one connection."""

    def __init__(self) -> None:
        self.window = CommandWindow(0, 0)
        self.digests = NO_DIGESTS
        self.size = 0
        """Bytes of the headers and data that wait."""
        self._stat_sn = 1
        self._answers: deque[_Waiting] = deque()
        self._data: deque[_Waiting] = deque()

    def put(
        self,
        kind: Kind,
        data: _Data = b"",
        *,
        stat_sn: StatSN = StatSN.USED,
        task: Task | None = None,
        **fields: Any,
    ) -> None:
        """Queue an answer: ahead of all data, but behind those of its own ``task``."""
        queue = self._answers
        if task is not None:
            queue = self._data if task.waiting else queue
            task.waiting += 1
        self.size += BHS_SIZE + len(data)
        queue.append((kind, data, len(data), stat_sn, task, fields))

    def put_data(self, kind: Kind, data: _Data = b"", *, stat_sn: StatSN, task: Task, **fields: Any) -> None:
        """Queue a piece of a data transfer, in turn."""
        task.waiting += 1
        self.size += BHS_SIZE + len(data)
        self._data.append((kind, data, len(data), stat_sn, task, fields))

    def put_last(self, kind: Kind, **fields: Any) -> None:
        """Queue what comes after everything: the end of the session."""
        self.size += BHS_SIZE
        self._data.append((kind, b"", 0, _USED, None, fields))

    def take(self, maximum: int | None = None) -> list[Buffer]:
        """Whole PDUs in the order of the wire: about ``maximum`` bytes, one PDU at least if any waits."""
        buffers: list[Buffer] = []
        until = 0 if maximum is None else self.size - max(maximum, 1)
        while self.size > until and (queue := self._answers or self._data):
            self._take(queue.popleft(), buffers)
        return buffers

    def _take(self, waiting: _Waiting, buffers: list[Buffer]) -> None:
        kind, data, length, stat_sn, task, fields = waiting
        self.size -= BHS_SIZE + length
        if task is not None:
            task.waiting -= 1
        window = self.window
        built = kind(
            data_segment_length=length,
            stat_sn=0 if stat_sn is _ABSENT else self._stat_sn,
            exp_cmd_sn=window.expected,
            max_cmd_sn=window.maximum,
            **fields,
        ).build()
        if stat_sn is _USED:
            self._stat_sn = following(self._stat_sn)
        buffers.append(built)
        if self.digests is not NO_DIGESTS and kind is not LoginResponse:
            self._append_with_digests(built, data, buffers)
        elif length:
            buffers.append(data)
            if length % 4:
                buffers.append(PADDING[length % 4])

    def _append_with_digests(self, header: bytes, data: _Data, buffers: list[Buffer]) -> None:
        """What follows the header of a PDU of the full feature phase."""
        padding = PADDING[len(data) % 4]
        if self.digests.header:
            buffers.append(digest(header))
        if data:
            buffers += (data, padding) if padding else (data,)
            if self.digests.data:
                buffers.append(digest(data, padding))

    def _forget(self, waiting: _Waiting) -> None:
        """It waits no longer."""
        self.size -= BHS_SIZE + waiting[2]
        task = waiting[4]
        if task is not None:
            task.waiting -= 1

    @property
    def answers(self) -> int:
        """How many answers wait."""
        return len(self._answers)

    # -- second thoughts --------------------------------------------------------------------------

    def withdraw(self, affected: Callable[[Task], bool]) -> set[Task]:
        """Forget all that waits of the affected tasks; those of which anything did."""
        withdrawn = set()
        for queue in (self._answers, self._data):
            for _ in range(len(queue)):
                waiting = queue.popleft()
                task = waiting[4]
                if task is None or not affected(task):
                    queue.append(waiting)
                else:
                    self._forget(waiting)
                    withdrawn.add(task)
        return withdrawn

    def mark(self) -> int:
        """A place among the answers to :meth:`cut` back to; good until the next :meth:`take`."""
        return len(self._answers)

    def cut(self, mark: int) -> None:
        """Forget the answers queued after ``mark``, and all data."""
        while len(self._answers) > mark:
            self._forget(self._answers.pop())
        while self._data:
            self._forget(self._data.pop())
