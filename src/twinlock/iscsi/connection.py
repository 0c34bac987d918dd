"""One connection as its owner sees it: bytes in, events out, buffers to send.

The owner reads the socket and passes what it gets to :meth:`TargetConnection.receive`,
acts on the events, and sends what :meth:`TargetConnection.take_output` returns.
Calls must not overlap.  Once a :class:`ProtocolFailure` or :class:`LoggedOut` was
returned, input is ignored and completions have no effect.
"""

from collections.abc import Callable, Iterable
from typing import Any

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.chap import ChapPolicy
from twinlock.iscsi.connection_state import ConnectionEvent, ConnectionState
from twinlock.iscsi.digest import Digests
from twinlock.iscsi.directory import TargetDirectory, TargetEntry
from twinlock.iscsi.errors import LoginRefused
from twinlock.iscsi.events import Event, LoggedIn, LoggedOut, ProtocolFailure, TaskManagementRequested
from twinlock.iscsi.framing import Pdu, PduReader
from twinlock.iscsi.full_feature import FullFeature
from twinlock.iscsi.login_phase import Answer, LoginPhase, Preferences, segment_limit
from twinlock.iscsi.machine import StateMachine
from twinlock.iscsi.outbox import Outbox
from twinlock.iscsi.parameters import PREFERENCES, Parameters
from twinlock.iscsi.results import Completion
from twinlock.iscsi.sequence import CommandWindow
from twinlock.iscsi.session import SessionType
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import AsyncEvent, LoginStatus, Stage
from twinlock.wire.iscsi_requests import LoginRequest
from twinlock.wire.iscsi_responses import LoginResponse
from twinlock.wire.structure import Malformed

__all__ = ["TargetConnection", "TargetDirectory", "TargetEntry"]

_LAST: dict[type, ConnectionEvent] = {
    ProtocolFailure: ConnectionEvent.FAILED,
    LoggedOut: ConnectionEvent.LOGGED_OUT,
}
"""Events for the owner after which nothing happens any more."""
_LOGIN_REQUEST, _OTHER_PDU = ConnectionEvent.LOGIN_REQUEST, ConnectionEvent.OTHER_PDU


class TargetConnection:
    """The target's end of one connection."""

    def __init__(
        self,
        directory: TargetDirectory,
        *,
        random_bytes: Callable[[int], bytes],
        tsih: int,
        preferences: Parameters = PREFERENCES,
        discovery_authentication: ChapPolicy | None = None,
        session_types: Iterable[SessionType] = SessionType,
    ) -> None:
        """``tsih`` (1 to 65535) names the session that may come; ``random_bytes`` must be unpredictable.

        Logins for other than the ``session_types`` are refused.
        """
        self._directory = directory
        self._tsih = tsih
        self._events: list[Event] = []
        self._outbox = Outbox()
        self._reader = PduReader(data_segment_limit=limits.LOGIN_DATA_SEGMENT)
        wanted = Preferences(preferences, discovery_authentication, frozenset(session_types))
        self._login = LoginPhase(directory, wanted, random_bytes)
        self._last_request: LoginRequest | None = None
        self._login_mark: int | None = None
        self._full_feature: FullFeature | None = None
        self._state = CONNECTION.start
        self._ended = False

    # -- input and output -------------------------------------------------------------------------

    def receive(self, data: Buffer) -> list[Event]:
        """Take bytes as they came, cut anywhere; tasks keep views of ``data``, so it must not change."""
        try:
            if not self._ended:
                self._take_pdus(data)
        except LoginRefused as refusal:
            self._refuse(refusal.status)
            self._emit(ProtocolFailure(str(refusal), refusal.status))
        except (ProtocolError, Malformed) as error:
            self._emit(ProtocolFailure(str(error)))
        return self.take_events()

    def take_events(self) -> list[Event]:
        """Events that another call than :meth:`receive` brought about.

        A task that ends may let others start that waited for it, so ask after each :meth:`complete` and
        :meth:`abort_tasks`.  What is not taken comes with the next :meth:`receive`.
        """
        if not self._events:
            return []
        events, self._events = self._events, []
        return events

    def take_output(self, maximum: int | None = None) -> list[Buffer]:
        """Buffers to be sent, in order: whole PDUs, of at most about ``maximum`` bytes but at least one.

        Each call decides anew what goes first: answers without data overtake Data-In and R2T that were
        queued before them, but not those of their own task.  What was taken must be sent.
        """
        self._login_mark = None
        return self._outbox.take(maximum)

    @property
    def output_size(self) -> int:
        """Bytes that wait to be taken."""
        return self._outbox.size

    @property
    def answers_waiting(self) -> int:
        """Answers (PDUs that are no data) that wait to be taken."""
        return self._outbox.answers

    def _take_pdus(self, data: Buffer) -> None:
        for pdu in self._reader.feed(data):
            event = _LOGIN_REQUEST if type(pdu.header) is LoginRequest else _OTHER_PDU
            self._state, act = _STEPS[self._state, event]
            act(self, pdu)
            if self._ended:
                break

    def _emit(self, event: Event) -> None:
        self._events.append(event)
        last = _LAST.get(type(event))
        if last is not None:
            self._step(last)

    def _step(self, event: ConnectionEvent, *arguments: Any) -> None:
        self._state, act = _STEPS[self._state, event]
        self._ended = self._state in CONNECTION.final
        act(self, *arguments)

    # -- what is done in which state --------------------------------------------------------------

    def _handle(self, pdu: Pdu) -> None:
        assert self._full_feature is not None
        self._full_feature.handle(pdu)

    def _ignore(self, *_arguments: Any) -> None:
        """Nobody listens any more."""

    def _end(self) -> None:
        if self._full_feature:
            self._full_feature.commands.abort(lambda _task: True)

    def _fail_before_login(self, _pdu: Pdu) -> None:
        raise ProtocolError("the first PDU is no login request")

    def _fail_in_login(self, _pdu: Pdu) -> None:
        raise LoginRefused(LoginStatus.INVALID_DURING_LOGIN, "a PDU that has no place in the login phase")

    def _complain(self, *_arguments: Any) -> None:
        """What the owner wants makes no sense yet."""
        raise ValueError("nobody is logged in")

    # -- login ------------------------------------------------------------------------------------

    def _log_in(self, pdu: Pdu) -> None:
        request = pdu.header
        assert isinstance(request, LoginRequest)
        if self._last_request is None:
            self._outbox.window = CommandWindow(request.cmd_sn, limits.COMMAND_WINDOW)
        self._last_request = request
        answer = self._login.step(request, pdu.data)
        self._login_mark = self._outbox.mark()
        self._answer(request, answer)
        if answer.next_stage is Stage.FULL_FEATURE:
            self._step(ConnectionEvent.LOGIN_OVER)

    def _answer(self, request: LoginRequest, answer: Answer) -> None:
        finished = answer.next_stage is Stage.FULL_FEATURE
        self._outbox.put(
            LoginResponse,
            answer.text,
            transit=answer.next_stage is not None,
            current_stage=request.current_stage,
            next_stage=answer.next_stage or 0,
            isid=request.isid,
            tsih=self._tsih if finished else 0,
            initiator_task_tag=request.initiator_task_tag,
        )

    def _begin_full_feature(self) -> None:
        session = self._login.session(self._tsih)
        self._reader.data_segment_limit = segment_limit(session.session_type)
        self._reader.digests = self._outbox.digests = Digests.agreed(session.parameters)
        self._full_feature = FullFeature(
            self._outbox, self._login.negotiation, session, self._directory, self._emit
        )
        self._emit(LoggedIn(session))

    def refuse_session(self, status: LoginStatus = LoginStatus.TOO_MANY_CONNECTIONS) -> None:
        """Take a login back: its last response is replaced by one with ``status``, the connection is over.

        Only between :class:`LoggedIn` and the next :meth:`take_output`; ValueError otherwise.
        """
        if self._full_feature is None or self._login_mark is None:
            raise ValueError("there is no login to take back")
        self._step(ConnectionEvent.TURNED_AWAY, status)

    def _take_login_back(self, status: LoginStatus) -> None:
        assert self._login_mark is not None
        self._end()
        self._outbox.cut(self._login_mark)
        self._refuse(status)

    def _refuse(self, status: LoginStatus) -> None:
        request = self._last_request
        assert request is not None
        self._outbox.put(
            LoginResponse,
            current_stage=request.current_stage,
            isid=request.isid,
            initiator_task_tag=request.initiator_task_tag,
            status=status,
        )

    # -- what the owner has to say ----------------------------------------------------------------

    def complete(
        self, task: Task, *, status: int, data_in: Buffer = b"", sense: bytes = b"", transfer_wanted: int
    ) -> None:
        """End a task, in any order; ``transfer_wanted`` are the bytes the CDB asked to move, either way.

        ``data_in`` is sent as far as the initiator expects it, and must not change until it is sent.
        An aborted task ends in silence.  Raises ValueError for a task that was completed before.
        """
        session = self._full_feature or self._session()
        session.commands.complete(task, Completion(status, transfer_wanted, data_in, sense))

    def finish_task_management(self, request: TaskManagementRequested, response: int) -> None:
        """Answer a task management function (a TaskManagementResponse), also ahead of a logout's answer.

        Behind that nothing is sent any more.
        """
        logout_waits = self._state is ConnectionState.IN_LOGOUT and self._outbox.size > 0
        if logout_waits or not self._ended:
            self._session().task_management.finish(request, response)

    def ping(self) -> None:
        """Ask for a sign of life; :class:`PingAnswered` follows if there is any."""
        if not self._ended:
            self._session().ping()

    def request_logout(self, seconds: int) -> None:
        """Ask the initiator to log out within ``seconds``."""
        self._step(ConnectionEvent.LOGOUT_WANTED, seconds)

    def _ask_for_logout(self, seconds: int) -> None:
        self._session().announce(AsyncEvent.LOGOUT_REQUESTED, seconds)

    def announce(self, event: AsyncEvent, *, seconds: int = 0) -> None:
        """Tell that a logout is wanted, or that this connection or all are about to be dropped.

        ``seconds`` are what a logout may take.  It is for the owner to drop the connection afterwards.
        ValueError for other events.
        """
        if event is AsyncEvent.LOGOUT_REQUESTED:
            self.request_logout(seconds)
        elif not self._ended:
            self._session().announce(event, seconds)

    def abort_tasks(self, affected: Callable[[Task], bool]) -> tuple[Task, ...]:
        """Abort tasks, in silence, for another session or a reservation.

        Returns those that were delivered: as with :class:`TaskManagementRequested`, the owner still completes
        them, which sends nothing.  Tasks that were complete are answered as usual.
        """
        return () if self._ended else self._session().commands.abort(affected)[0]

    def _session(self) -> FullFeature:
        if self._full_feature is None:
            raise ValueError("nobody is logged in")
        return self._full_feature


_State, _Event = ConnectionState, ConnectionEvent
_Act = Callable[..., None]
_Row = tuple[ConnectionEvent, ConnectionState | None, _Act]
_IN_SESSION: tuple[_Row, ...] = (
    (_Event.LOGIN_REQUEST, None, TargetConnection._handle),
    (_Event.OTHER_PDU, None, TargetConnection._handle),
    (_Event.TURNED_AWAY, _State.FREE, TargetConnection._take_login_back),
    (_Event.LOGOUT_WANTED, _State.LOGOUT_REQUESTED, TargetConnection._ask_for_logout),
    (_Event.LOGGED_OUT, _State.IN_LOGOUT, TargetConnection._end),
    (_Event.FAILED, _State.FREE, TargetConnection._end),
)
_AT_THE_END: tuple[_Row, ...] = (
    (_Event.LOGIN_REQUEST, None, TargetConnection._ignore),
    (_Event.OTHER_PDU, None, TargetConnection._ignore),
    (_Event.TURNED_AWAY, _State.FREE, TargetConnection._take_login_back),
    (_Event.LOGOUT_WANTED, None, TargetConnection._ignore),
)
CONNECTION: StateMachine[ConnectionState, ConnectionEvent, _Act] = StateMachine(
    "A connection, which is a session",
    "RFC 7143 section 8.1",
    states=ConnectionState,
    events=ConnectionEvent,
    arrows={
        (_State.XPT_UP, _Event.LOGIN_REQUEST): (_State.IN_LOGIN, TargetConnection._log_in),
        (_State.XPT_UP, _Event.OTHER_PDU): (_State.XPT_UP, TargetConnection._fail_before_login),
        (_State.XPT_UP, _Event.FAILED): (_State.FREE, TargetConnection._end),
        (_State.IN_LOGIN, _Event.LOGIN_REQUEST): (_State.IN_LOGIN, TargetConnection._log_in),
        (_State.IN_LOGIN, _Event.OTHER_PDU): (_State.IN_LOGIN, TargetConnection._fail_in_login),
        (_State.IN_LOGIN, _Event.LOGIN_OVER): (_State.LOGGED_IN, TargetConnection._begin_full_feature),
        (_State.IN_LOGIN, _Event.FAILED): (_State.FREE, TargetConnection._end),
        **{
            (state, event): (following or state, act)
            for state in (_State.LOGGED_IN, _State.LOGOUT_REQUESTED)
            for event, following, act in _IN_SESSION
        },
        **{
            (state, event): (following or state, act)
            for state in (_State.IN_LOGOUT, _State.FREE)
            for event, following, act in _AT_THE_END
        },
    },
    otherwise=(None, TargetConnection._complain),
    final=(_State.IN_LOGOUT, _State.FREE),
)
_STEPS = CONNECTION.steps
