"""What is to be sent: headers with their sequence numbers, and data, as buffers that are never joined."""

from collections.abc import Callable
from typing import Any

from typing_extensions import Buffer

from twinlock.iscsi.framing import PADDING
from twinlock.iscsi.sequence import CommandWindow, following
from twinlock.wire.structure import Structure


class Outbox:
    """The queue of one connection; fills in StatSN, ExpCmdSN and MaxCmdSN as they are at that moment."""

    def __init__(self) -> None:
        self.window = CommandWindow(0, 0)
        self._stat_sn = 1
        self._buffers: list[Buffer] = []

    def put_status(self, kind: Callable[..., Structure], data: Buffer = b"", **fields: Any) -> None:
        """Queue a PDU that carries a status, and so uses a StatSN up."""
        self.put(kind, data, **fields)
        self._stat_sn = following(self._stat_sn)

    def put(self, kind: Callable[..., Structure], data: Buffer = b"", **fields: Any) -> None:
        """Queue a PDU that shows the next StatSN without using it up (R2T, Data-In, pings)."""
        length = len(memoryview(data))
        header = kind(
            data_segment_length=length,
            stat_sn=self._stat_sn,
            exp_cmd_sn=self.window.expected,
            max_cmd_sn=self.window.maximum,
            **fields,
        )
        self._buffers.append(header.build())
        if length:
            self._buffers.append(data)
            if length % 4:
                self._buffers.append(PADDING[length % 4])

    def take(self) -> list[Buffer]:
        """Everything queued, in order; the queue is empty afterwards."""
        buffers, self._buffers = self._buffers, []
        return buffers

    def mark(self) -> int:
        """A place in the queue to :meth:`cut` back to; good until the next :meth:`take`."""
        return len(self._buffers)

    def cut(self, mark: int) -> None:
        """Forget the one status that was queued after ``mark``, and all that follows it."""
        del self._buffers[mark:]
        self._stat_sn = following(self._stat_sn, -1)
