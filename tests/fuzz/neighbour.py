"""The session next door: it does no wrong, so nothing may go wrong for it.

It writes a pattern to its region of the shared disk and reads it back.  What the fuzzed session
may lawfully do to it (a unit attention, a reservation, a write protection, a write to the same
region) is no harm; anything else is.
"""

import itertools
from collections.abc import Callable

from tests.fuzz.disk import REGION_BLOCKS, SharedDisk
from tests.fuzz.oracle.judge import Judge
from tests.fuzz.oracle.rules import require
from tests.fuzz.setups import TARGET
from tests.support.initiator import Credentials, Initiator, Outcome
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_responses import AsyncMessage

NAME = "iqn.2026-11.test:neighbour"
_GOOD, _CHECK_CONDITION, _RESERVATION_CONFLICT = 0x00, 0x02, 0x18
_NOT_READY, _UNIT_ATTENTION, _DATA_PROTECT = 0x2, 0x6, 0x7
_TURNED_AWAY = LoginStatus.OUT_OF_RESOURCES
_DROPPED = (2, 3)
_ATTEMPTS = 12
"""Unit attentions that may be owed at once, and one more."""

Exchange = Callable[[bytes, bool], bytes]
"""Carries bytes to the target, and back what has come; if an answer is owed, it waits for one."""


class Neighbour:
    """A well-behaved initiator on the same logical unit."""

    def __init__(self, disk: SharedDisk, exchange: Exchange, credentials: Credentials | None) -> None:
        self._disk = disk
        self._exchange = exchange
        self._credentials = credentials
        self._patterns = itertools.count(1)
        self.begin()

    def begin(self) -> None:
        """A new connection."""
        isid = b"\x40\0\1\x37\xff\xff"
        self._judge = Judge()
        self.initiator = Initiator(TARGET, name=NAME, isid=isid, credentials=self._credentials)

    def log_in(self, *, may_be_refused: bool = False) -> bool:
        """True if it was let in; ``may_be_refused``: another session may have the only place."""
        self.initiator.login()
        self._run()
        status = self.initiator.login_status
        lawful = may_be_refused and status == _TURNED_AWAY
        require(self.initiator.logged_in or lawful, f"the neighbour cannot log in: {status}")
        return self.initiator.logged_in

    def was_dropped(self) -> None:
        """The target has closed the connection (TARGET COLD RESET): it must have said so."""
        last = self.initiator.replies[-1].header if self.initiator.replies else None
        lawful = isinstance(last, AsyncMessage) and last.event in _DROPPED
        require(lawful, f"the neighbour's session ended, and the last that it heard was {last}")

    def _run(self) -> None:
        """Carry bytes both ways until both ends are content."""
        while True:
            sent = self.initiator.take_output()
            self._judge.sent(sent)
            answer = self._exchange(sent, self._judge.unanswered > 0)
            self._judge.received(answer)
            self.initiator.receive(answer)
            if (not sent and not answer) or self.initiator.login_status:
                return

    def visit(self) -> None:
        """Write, read back, compare."""
        length = REGION_BLOCKS * self._disk.block_size
        pattern = next(self._patterns).to_bytes(8, "big") * (length // 8)
        self._disk.expect(pattern)
        address = (self._disk.region // self._disk.block_size).to_bytes(4, "big")
        tail = address + b"\0" + REGION_BLOCKS.to_bytes(2, "big") + bytes(7)
        written = self._command(b"\x2a\0" + tail, write=pattern)
        read = self._command(b"\x28\0" + tail, read=length)
        if written and read is not None and read.status == _GOOD and not self._disk.touched:
            same = bytes(read.data) == pattern
            require(same, "the neighbour read something else than it wrote")

    def _command(self, cdb: bytes, *, read: int = 0, write: bytes = b"") -> Outcome | None:
        """The outcome of a command that was done; None if the other session lawfully stands in its way."""
        for _ in range(_ATTEMPTS):
            tag = self.initiator.command(cdb, read=read, write=write)
            self._run()
            outcome = self.initiator.outcomes.pop(tag)
            require(outcome.status is not None, "a command of the neighbour was never answered")
            if outcome.status == _GOOD:
                return outcome
            if outcome.status == _RESERVATION_CONFLICT:
                return None
            key = _sense_key(outcome.sense)
            lawful = outcome.status == _CHECK_CONDITION and key in (
                _UNIT_ATTENTION,
                _DATA_PROTECT,
                _NOT_READY,
            )
            require(lawful, f"the neighbour got status {outcome.status:#x}, sense {outcome.sense.hex()}")
            if key != _UNIT_ATTENTION:
                return None
        require(False, "the neighbour's unit attentions do not end")
        return None


def _sense_key(sense: bytes) -> int:
    return sense[2] & 0xF if sense[0] & 0x7F == 0x70 else sense[1] & 0xF
