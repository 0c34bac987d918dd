"""The full feature phase: which PDU goes where (RFC 7143 section 11).

``_ROUTES`` is the map: for each type of session the handler of each kind of PDU,
and whether its CmdSN counts.  What has no route is rejected.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from twinlock.iscsi.command_order import CommandOrder
from twinlock.iscsi.commands import Commands
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.events import Event, LoggedOut, PingAnswered
from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.negotiation import Negotiation
from twinlock.iscsi.outbox import Outbox
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
        self._routes = _ROUTES[session.session_type]
        self._order = CommandOrder(outbox.window)
        self._text = TextExchange(outbox, negotiation, session, directory, self._tags.take)
        self.commands = Commands(outbox, self._order, negotiation, self._tags.take, emit)
        self.task_management = TaskManagement(outbox, self._order, self.commands, emit)

    def handle(self, pdu: Pdu) -> None:
        """Take one PDU; raises ProtocolError or Malformed if the connection cannot go on."""
        header: Any = pdu.header
        route = self._routes.get(type(header), _NO_ROUTE)
        if route.numbered and not header.immediate:
            self._route(self._order.arrive(pdu, header.cmd_sn))
        else:
            route.handler(self, header, pdu)

    def _route(self, due: Iterable[Pdu]) -> None:
        for pdu in due:
            self._routes.get(type(pdu.header), _NO_ROUTE).handler(self, pdu.header, pdu)

    # -- handlers ---------------------------------------------------------------------------------

    def _command(self, header: ScsiCommand, pdu: Pdu) -> None:
        self.commands.command(header, pdu)

    def _data_out(self, header: DataOut, pdu: Pdu) -> None:
        self.commands.data_out(header, pdu)

    def _manage_tasks(self, header: TaskManagementRequest, _pdu: Pdu) -> None:
        self.task_management.request(header)
        self._route(self._order.due())  # an abort may have closed the gap that others waited for

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
            self._outbox.put_status(NopIn, echo, lun=header.lun, initiator_task_tag=header.initiator_task_tag)

    def _log_out(self, header: LogoutRequest, _pdu: Pdu) -> None:
        response = LogoutResponseCode.SUCCESS
        if header.reason == LogoutReason.REMOVE_FOR_RECOVERY:
            response = LogoutResponseCode.RECOVERY_NOT_SUPPORTED
        elif header.reason == LogoutReason.CLOSE_CONNECTION and header.cid != self._session.cid:
            response = LogoutResponseCode.CID_NOT_FOUND
        self._outbox.put_status(
            LogoutResponse, response=response, initiator_task_tag=header.initiator_task_tag
        )
        if response is LogoutResponseCode.SUCCESS:
            self._emit(LoggedOut(_LOGOUT_REASONS.get(header.reason, LogoutReason.CLOSE_SESSION)))

    def _reject(self, header: Structure, pdu: Pdu) -> None:
        send_reject(self._outbox, pdu, _REASONS.get(type(header), RejectReason.PROTOCOL_ERROR))

    # -- what the owner starts --------------------------------------------------------------------

    def ping(self) -> None:
        """Send a NOP-In that must be answered (section 11.19)."""
        self._ping_tag = self._tags.take()
        self._outbox.put(NopIn, target_transfer_tag=self._ping_tag)

    def request_logout(self, seconds: int) -> None:
        """Send asynchronous event 1: log out within ``seconds`` (section 11.9)."""
        self._outbox.put_status(AsyncMessage, event=AsyncEvent.LOGOUT_REQUESTED, parameter3=seconds)


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
