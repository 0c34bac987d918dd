"""One connection as its owner sees it: bytes in, events out, buffers to send.

The owner reads the socket and passes what it gets to :meth:`TargetConnection.receive`,
acts on the events, and sends what :meth:`TargetConnection.take_output` returns.
Calls must not overlap.  Once a :class:`ProtocolFailure` or :class:`LoggedOut` was
returned, input is ignored and completions have no effect.
"""

from collections.abc import Callable, Iterable

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.chap import ChapPolicy
from twinlock.iscsi.directory import TargetDirectory, TargetEntry
from twinlock.iscsi.errors import LoginRefused
from twinlock.iscsi.events import Event, LoggedIn, LoggedOut, ProtocolFailure, TaskManagementRequested
from twinlock.iscsi.framing import Pdu, PduReader
from twinlock.iscsi.full_feature import FullFeature
from twinlock.iscsi.login_phase import Answer, LoginPhase, Preferences, segment_limit
from twinlock.iscsi.outbox import Outbox
from twinlock.iscsi.parameters import PREFERENCES, Parameters
from twinlock.iscsi.results import Completion
from twinlock.iscsi.sequence import CommandWindow
from twinlock.iscsi.session import SessionType
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import LoginStatus, Stage
from twinlock.wire.iscsi_requests import LoginRequest
from twinlock.wire.iscsi_responses import LoginResponse
from twinlock.wire.structure import Malformed

__all__ = ["TargetConnection", "TargetDirectory", "TargetEntry"]


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
        self._ended = False

    # -- input and output -------------------------------------------------------------------------

    def receive(self, data: Buffer) -> list[Event]:
        """Take bytes as they came, cut anywhere; tasks keep views of ``data``, so it must not change."""
        try:
            if not self._ended:
                for pdu in self._reader.feed(data):
                    self._handle(pdu)
                    if self._ended:
                        break
        except LoginRefused as refusal:
            self._refuse(refusal.status)
            self._emit(ProtocolFailure(str(refusal), refusal.status))
        except (ProtocolError, Malformed) as error:
            self._emit(ProtocolFailure(str(error)))
        events = self._events.copy()
        self._events.clear()
        return events

    def take_output(self) -> list[Buffer]:
        """All buffers to be sent, in order (there may be more than one ``sendmsg`` takes)."""
        self._login_mark = None
        return self._outbox.take()

    def _emit(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, ProtocolFailure | LoggedOut):
            self._end()

    def _end(self) -> None:
        self._ended = True
        if self._full_feature:
            self._full_feature.commands.abort(lambda _task: True)

    def _handle(self, pdu: Pdu) -> None:
        if self._full_feature:
            self._full_feature.handle(pdu)
        elif isinstance(pdu.header, LoginRequest):
            self._log_in(pdu.header, pdu)
        elif self._last_request:
            raise LoginRefused(LoginStatus.INVALID_DURING_LOGIN, "a PDU that has no place in the login phase")
        else:
            raise ProtocolError("the first PDU is no login request")

    # -- login ------------------------------------------------------------------------------------

    def _log_in(self, request: LoginRequest, pdu: Pdu) -> None:
        if self._last_request is None:
            self._outbox.window = CommandWindow(request.cmd_sn, limits.COMMAND_WINDOW)
        self._last_request = request
        answer = self._login.step(request, pdu.data)
        self._login_mark = self._outbox.mark()
        self._answer(request, answer)
        if answer.next_stage is Stage.FULL_FEATURE:
            self._begin_full_feature()

    def _answer(self, request: LoginRequest, answer: Answer) -> None:
        finished = answer.next_stage is Stage.FULL_FEATURE
        self._outbox.put_status(
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
        self._outbox.cut(self._login_mark)
        self._refuse(status)
        self._end()

    def _refuse(self, status: LoginStatus) -> None:
        request = self._last_request
        assert request is not None
        self._outbox.put_status(
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
        self._session().commands.complete(task, Completion(status, transfer_wanted, data_in, sense))

    def finish_task_management(self, request: TaskManagementRequested, response: int) -> None:
        """Answer a task management function (a TaskManagementResponse)."""
        if not self._ended:
            self._session().task_management.finish(request, response)

    def ping(self) -> None:
        """Ask for a sign of life; :class:`PingAnswered` follows if there is any."""
        if not self._ended:
            self._session().ping()

    def request_logout(self, seconds: int) -> None:
        """Ask the initiator to log out within ``seconds``."""
        if not self._ended:
            self._session().request_logout(seconds)

    def _session(self) -> FullFeature:
        if self._full_feature is None:
            raise ValueError("nobody is logged in")
        return self._full_feature
