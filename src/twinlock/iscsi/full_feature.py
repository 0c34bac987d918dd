"""The full feature phase: which PDU goes where (RFC 7143 section 11).

``_ROUTES`` is the map: for each type of session the handler of each kind of PDU,
and whether its CmdSN counts.  What has no route is rejected.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twinlock.errors import ProtocolError
from twinlock.iscsi.command_order import CommandOrder
from twinlock.iscsi.commands import Commands
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.events import Event, LoggedOut, PingAnswered
from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.negotiation import Negotiation
from twinlock.iscsi.outbox import Outbox, StatSN
from twinlock.iscsi.results import send_reject
from twinlock.iscsi.sequence import TransferTags
from twinlock.iscsi.session import SessionInfo, SessionType
from twinlock.iscsi.task_management import TaskManagement
from twinlock.iscsi.text_exchange import TextExchange, UnknownTag
from twinlock.wire.iscsi_codes import (
    RESERVED_TAG,
    AsyncEvent,
    LogoutReason,
    LogoutResponseCode,
    RejectReason,
)
from twinlock.wire.iscsi_requests import (
    BasicHeader,
    DataOut,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    SnackRequest,
    TaskManagementRequest,
    TextRequest,
)
from twinlock.wire.iscsi_responses import AsyncMessage, LogoutResponse, NopIn
from twinlock.wire.structure import Structure


class FullFeature:
    """One session after its login; ``emit`` takes what the owner must hear."""

    def __init__(
        self,
        outbox: Outbox,
        negotiation: Negotiation,
        session: SessionInfo,
        directory: TargetDirectory,
        emit: Callable[[Event], None],
    ) -> None:
        self._outbox = outbox
        self._negotiation = negotiation
        self._session = session
        self._emit = emit
        self._tags = TransferTags()
        self._ping_tag = RESERVED_TAG
        self._logged_out = False
        self._routes = _ROUTES[session.session_type]
        self._order = CommandOrder(outbox.window)
        self._text = TextExchange(outbox, negotiation, session, directory, self._tags.take)
        self.commands = Commands(outbox, self._order, negotiation, self._tags.take, emit)
        self.task_management = TaskManagement(outbox, self._order, self.commands, emit)

    def handle(self, pdu: Pdu) -> None:
        """Take one PDU; raises ProtocolError or Malformed if the connection cannot go on."""
        header: Any = pdu.header
        route = self._routes.get(type(header), _NO_ROUTE)
        if not pdu.intact and not self._bear_damage(route, header, pdu):
            return
        if route.numbered and not header.immediate and not self._order.arrive(pdu, header.cmd_sn):
            return
        route.handler(self, header, pdu)
        if self._order.keeps_any:  # this one, or an abort, may have closed the gap that others waited for
            self._handle_due()

    def _handle_due(self) -> None:
        for pdu in self._order.due():
            if self._logged_out:
                break
            self._routes.get(type(pdu.header), _NO_ROUTE).handler(self, pdu.header, pdu)

    def _bear_damage(self, route: "_Route", header: Any, pdu: Pdu) -> bool:
        """Reject a PDU whose data digest is wrong (section 7.8); True if its header still counts.

        That of a Data-Out does.  What else uses up a CmdSN would leave a gap that at error recovery level 0
        nobody is bound to close, so all commands after it would hang: then the session ends.
        """
        send_reject(self._outbox, pdu, RejectReason.DATA_DIGEST_ERROR)
        if route.numbered and not header.immediate:
            raise ProtocolError("a numbered PDU whose data digest is wrong")
        return isinstance(header, DataOut) and route is not _NO_ROUTE

    # -- handlers ---------------------------------------------------------------------------------

    def _command(self, header: ScsiCommand, pdu: Pdu) -> None:
        self.commands.command(header, pdu)

    def _data_out(self, header: DataOut, pdu: Pdu) -> None:
        self.commands.data_out(header, pdu)

    def _manage_tasks(self, header: TaskManagementRequest, _pdu: Pdu) -> None:
        self.task_management.request(header)

    def _exchange_text(self, header: TextRequest, pdu: Pdu) -> None:
        try:
            event = self._text.receive(header, pdu)
        except UnknownTag:
            send_reject(self._outbox, pdu, RejectReason.INVALID_PDU_FIELD)
        else:
            if event is not None:
                self._emit(event)

    def _nop_out(self, header: NopOut, pdu: Pdu) -> None:
        """An answer to our ping, a ping to be echoed, or (without any tag) nothing but news of ExpStatSN."""
        if header.target_transfer_tag != RESERVED_TAG and header.target_transfer_tag == self._ping_tag:
            self._ping_tag = RESERVED_TAG
            self._emit(PingAnswered())
        if header.initiator_task_tag != RESERVED_TAG:
            echo = pdu.data[: self._negotiation.parameters.initiator_data_segment]
            self._outbox.put(NopIn, echo, lun=header.lun, initiator_task_tag=header.initiator_task_tag)

    def _log_out(self, header: LogoutRequest, _pdu: Pdu) -> None:
        response = LogoutResponseCode.SUCCESS
        if header.reason == LogoutReason.REMOVE_FOR_RECOVERY:
            response = LogoutResponseCode.RECOVERY_NOT_SUPPORTED
        elif header.reason == LogoutReason.CLOSE_CONNECTION and header.cid != self._session.cid:
            response = LogoutResponseCode.CID_NOT_FOUND
        done = response is LogoutResponseCode.SUCCESS
        put = self._outbox.put_last if done else self._outbox.put
        put(LogoutResponse, response=response, initiator_task_tag=header.initiator_task_tag)
        if done:
            self._logged_out = True
            self._emit(LoggedOut(_LOGOUT_REASONS.get(header.reason, LogoutReason.CLOSE_SESSION)))

    def _reject(self, header: Structure, pdu: Pdu) -> None:
        send_reject(self._outbox, pdu, _REASONS.get(type(header), RejectReason.PROTOCOL_ERROR))

    # -- what the owner starts --------------------------------------------------------------------

    def ping(self) -> None:
        """Send a NOP-In that must be answered (section 11.19)."""
        self._ping_tag = self._tags.take()
        self._outbox.put(NopIn, stat_sn=StatSN.SHOWN, target_transfer_tag=self._ping_tag)

    def announce(self, event: AsyncEvent, seconds: int) -> None:
        """Send an asynchronous message (section 11.9); ValueError for one this target has no use for."""
        parameters = _ANNOUNCEMENTS.get(event)
        if parameters is None:
            raise ValueError(f"{event!r} is not announced")
        self._outbox.put(AsyncMessage, event=event, **parameters(self._session, seconds))


def _dropped(session: SessionInfo, _seconds: int) -> dict[str, Any]:
    """When the initiator may come again; nothing is retained at error recovery level 0."""
    return {"parameter2": session.parameters.default_time2wait, "parameter3": 0}


_ANNOUNCEMENTS: dict[AsyncEvent, Callable[[SessionInfo, int], dict[str, Any]]] = {
    AsyncEvent.LOGOUT_REQUESTED: lambda _session, seconds: {"parameter3": seconds},
    AsyncEvent.CONNECTION_DROPPED: lambda session, _: {"parameter1": session.cid} | _dropped(session, _),
    AsyncEvent.ALL_CONNECTIONS_DROPPED: _dropped,
}
"""The parameters of each asynchronous event that is sent (section 11.9.1)."""


@dataclass(frozen=True, slots=True)
class _Route:
    handler: Callable[[FullFeature, Any, Pdu], None]
    numbered: bool


_LOGOUT_REASONS = {int(reason): reason for reason in LogoutReason}
_REASONS: dict[type[Structure], RejectReason] = {
    SnackRequest: RejectReason.SNACK_REJECT,
    BasicHeader: RejectReason.COMMAND_NOT_SUPPORTED,
}
_NO_ROUTE = _Route(FullFeature._reject, numbered=False)
_COMMON: dict[type[Structure], _Route] = {
    NopOut: _Route(FullFeature._nop_out, numbered=True),
    TextRequest: _Route(FullFeature._exchange_text, numbered=True),
    LogoutRequest: _Route(FullFeature._log_out, numbered=True),
}
_ROUTES: dict[SessionType, dict[type[Structure], _Route]] = {
    SessionType.NORMAL: _COMMON
    | {
        ScsiCommand: _Route(FullFeature._command, numbered=True),
        DataOut: _Route(FullFeature._data_out, numbered=False),
        TaskManagementRequest: _Route(FullFeature._manage_tasks, numbered=True),
    },
    SessionType.DISCOVERY: _COMMON
    | {
        ScsiCommand: _Route(FullFeature._reject, numbered=True),
        TaskManagementRequest: _Route(FullFeature._reject, numbered=True),
    },
}
