"""Commands in the order of their CmdSN (RFC 7143 section 4.2.2.1).

On one connection commands come in order, so almost all pass straight through.
One that comes early is kept, with whatever data follow it, until its turn; one
outside the window is passed over in silence, as the standard wants.
"""

from collections.abc import Iterator

from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.sequence import CommandWindow, Place, distance
from twinlock.wire.iscsi_requests import ScsiCommand
from twinlock.wire.scsi_lun import canonical_lun
from twinlock.wire.structure import Structure

_IN_TURN = Place.IN_TURN


class CommandOrder:
    """What stands between a connection's numbered PDUs and their handlers."""

    def __init__(self, window: CommandWindow) -> None:
        self._window = window
        self._early: dict[int, list[Pdu]] = {}
        self._early_bytes = 0

    @property
    def keeps_any(self) -> bool:
        """Whether there are PDUs, or numbers that count as come, ahead of one that is missing."""
        return bool(self._early)

    def arrive(self, pdu: Pdu, cmd_sn: int) -> bool:
        """Whether it is the turn of a PDU that has come; then the window moves.  An early one is kept."""
        place = self._window.place(cmd_sn)
        if place is _IN_TURN:
            self._window.admit()
            return True
        if place is Place.EARLY and cmd_sn not in self._early:
            self._early[cmd_sn] = []
            self._keep(pdu, cmd_sn)
        return False

    def due(self) -> Iterator[Pdu]:
        """The kept PDUs whose turn has come; the window moves with each that is taken."""
        while (pdus := self._early.pop(self._window.expected, None)) is not None:
            self._window.admit()
            self._early_bytes -= sum(len(pdu.packet) for pdu in pdus)
            yield from pdus

    def keep_data(self, pdu: Pdu, initiator_task_tag: int) -> bool:
        """Keep a Data-Out if its command is being kept."""
        for cmd_sn, pdus in self._early.items():
            if pdus and _task_tag(pdus[0].header) == initiator_task_tag:
                self._keep(pdu, cmd_sn)
                return True
        return False

    def _keep(self, pdu: Pdu, cmd_sn: int) -> None:
        self._early_bytes += len(pdu.packet)
        if self._early_bytes > limits.EARLY_DATA:
            raise ProtocolError("too much data ahead of a command that is missing")
        self._early[cmd_sn].append(pdu)

    def consider_received(self, cmd_sn: int, *, before: int) -> bool:
        """Let a command to be aborted count as come; False if it cannot come any more.

        It can if its number lies in the window, and ``before`` that of the abort (section 11.6.1).
        """
        older = 0 < distance(cmd_sn, before) <= limits.COMMAND_WINDOW
        if not older or self._window.place(cmd_sn) is Place.OUTSIDE:
            return False
        self._empty(cmd_sn)
        return True

    def drop_commands(self, lun: bytes | None) -> None:
        """Drop the kept SCSI commands for ``lun`` (None: for any); their numbers count as come."""
        for cmd_sn, pdus in self._early.items():
            header = pdus[0].header if pdus else None
            if isinstance(header, ScsiCommand) and lun in (None, canonical_lun(header.lun)):
                self._empty(cmd_sn)

    def _empty(self, cmd_sn: int) -> None:
        self._early_bytes -= sum(len(pdu.packet) for pdu in self._early.get(cmd_sn, ()))
        self._early[cmd_sn] = []


def _task_tag(header: Structure) -> int | None:
    return header.initiator_task_tag if isinstance(header, ScsiCommand) else None
