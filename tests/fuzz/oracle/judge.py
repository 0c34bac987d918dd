"""Hears both directions of one connection and says when the target is wrong."""

from collections import Counter
from collections.abc import Callable

from tests.fuzz.oracle import rules
from tests.fuzz.oracle.logins import Login
from tests.fuzz.oracle.numbers import Numbers
from tests.fuzz.oracle.rules import require
from tests.fuzz.oracle.tasks import Limits, Tasks
from tests.fuzz.streams import Digests, RawPdu, Splitter

_ANSWERS = {
    rules.NOP_IN: rules.NOP_OUT,
    rules.TASK_ANSWER: rules.TASK_MANAGEMENT,
    rules.TEXT_ANSWER: rules.TEXT,
    rules.LOGOUT_ANSWER: rules.LOGOUT,
}


class Judge:
    """One connection, from its first byte.  ``pdus`` counts what was sent to the target."""

    def __init__(self) -> None:
        self.pdus = 0
        self.over = False
        """The target has said its last word."""
        self._limits = Limits()
        self._login = Login(self._limits)
        self._numbers = Numbers()
        self._tasks = Tasks(self._limits)
        self._asked: Counter[tuple[int, int]] = Counter()
        self._final_texts: set[int] = set()
        self._pings: dict[int, list[bytes]] = {}
        self._headers: Counter[bytes] = Counter()
        self._to_target = Splitter()
        self._to_initiator = Splitter()

    @property
    def digests(self) -> Digests:
        """What was agreed."""
        return self._login.digests

    @property
    def logged_in(self) -> bool:
        return self._login.done and not self._login.refused

    @property
    def unanswered(self) -> int:
        """Commands and requests without a response."""
        return self._tasks.unanswered + self._asked.total() + self._login.unanswered

    @property
    def missing_slots(self) -> int:
        """By how much the command window is smaller than it was at first."""
        return self._numbers.first_window - self._numbers.window

    @property
    def solicits(self) -> bool:
        """The target waits for data that it asked for."""
        return self._tasks.solicits

    @property
    def discovery(self) -> bool:
        """The session is for discovery."""
        return self._login.discovery

    # -- to the target ------------------------------------------------------------------------------

    def sent(self, data: bytes) -> None:
        """Bytes that are about to reach the target."""
        self._to_target.feed(data)
        self._take_sent()

    def _take_sent(self) -> None:
        """What was sent, up to the end of the login: only the answer tells how to read what follows."""
        while not self._login.at_the_door and (pdu := self._to_target.next()) is not None:
            self._sent(pdu)

    def _sent(self, pdu: RawPdu) -> None:
        self.pdus += 1
        self._numbers.sent(pdu)
        self._headers[pdu.header] += 1
        match pdu.opcode:
            case rules.LOGIN if not self._login.done:
                self._login.sent(pdu)
            case rules.COMMAND:
                self._tasks.command(pdu)
            case rules.DATA_OUT:
                self._tasks.data_out(pdu)
            case rules.NOP_OUT:
                self._ping(pdu)
            case rules.TEXT | rules.TASK_MANAGEMENT | rules.LOGOUT:
                self._asked[pdu.opcode, pdu.itt] += 1
                if pdu.opcode == rules.TEXT:
                    self._login.heard_text(pdu.data)
                    self._final_texts |= {pdu.itt} if pdu.flag(7) else set()

    def _ping(self, pdu: RawPdu) -> None:
        if pdu.itt != rules.NO_TAG:
            self._asked[rules.NOP_OUT, pdu.itt] += 1
            self._pings.setdefault(pdu.itt, []).append(pdu.data)

    # -- from the target ----------------------------------------------------------------------------

    def received(self, data: bytes) -> list[RawPdu]:
        """Bytes that came from the target; its PDUs.  Raises :class:`~tests.fuzz.oracle.rules.Broken`."""
        self._to_initiator.feed(data)
        pdus = []
        while (pdu := self._to_initiator.next()) is not None:
            self._received(pdu)
            pdus.append(pdu)
        return pdus

    def ended(self) -> None:
        """The target has closed the connection."""
        require(not self._to_initiator.pending, "the connection ended inside a PDU")

    def _received(self, pdu: RawPdu) -> None:
        require(pdu.intact, "a digest that is wrong")
        require(not self.over, "a PDU after the last one")
        require(pdu.opcode in _HANDLERS, f"opcode {pdu.opcode:#x} from a target")
        require(not pdu.immediate, "the immediate bit from a target")
        if pdu.opcode != rules.LOGIN_ANSWER:
            require(self._login.done, "a PDU of the full feature phase before it began")
            require(len(pdu.data) <= self._limits.segment, "beyond MaxRecvDataSegmentLength")
        _HANDLERS[pdu.opcode](self, pdu)
        self._numbers.received(pdu)  # now that all that may have come before is known

    def _logged_in(self, pdu: RawPdu) -> None:
        require(len(pdu.data) <= rules.DEFAULT_SEGMENT, "a login response that is too long")
        require(not self._login.done or pdu.u16(36) != 0, "a login response after the login")
        self._login.received(pdu)
        self.over = self._login.refused
        if self._login.done:
            self._to_target.digests = self._to_initiator.digests = self._login.digests
        self._take_sent()

    def _answered(self, pdu: RawPdu) -> None:
        """An answer uses up the request it belongs to."""
        key = _ANSWERS[pdu.opcode], pdu.itt
        require(self._asked[key] > 0, f"an answer {pdu.opcode:#x} that nobody asked for")
        self._asked[key] -= 1

    def _nop_in(self, pdu: RawPdu) -> None:
        if pdu.itt == rules.NO_TAG:
            require(not pdu.data, "a ping of the target with data")  # section 11.19
            return
        self._answered(pdu)
        require(pdu.u32(20) == rules.NO_TAG, "an echo with a transfer tag")
        shown = pdu.data
        pings = self._pings[pdu.itt]
        found = next((each for each in pings if each[: self._limits.segment].startswith(shown)), None)
        require(found is not None, "a ping that came back changed")
        assert found is not None
        pings.remove(found)

    def _task_answer(self, pdu: RawPdu) -> None:
        require(pdu.header[2] in rules.TASK_ANSWERS, "a task management response that is not defined")
        self._answered(pdu)

    def _text_answer(self, pdu: RawPdu) -> None:
        self._answered(pdu)
        final, more, tag = pdu.flag(7), pdu.flag(6), pdu.u32(20)
        require(not final or pdu.itt in self._final_texts, "a final answer to a text that goes on")
        require(not (final and more), "a final text that is to be continued")
        require(final == (tag == rules.NO_TAG), "a transfer tag that does not suit the F bit")

    def _logout_answer(self, pdu: RawPdu) -> None:
        require(pdu.header[2] in rules.LOGOUT_ANSWERS, "a logout response that is not defined")
        self._answered(pdu)
        self.over = pdu.header[2] == 0

    def _reject(self, pdu: RawPdu) -> None:
        require(pdu.header[2] in rules.REJECT_REASONS, f"reject reason {pdu.header[2]:#x}")
        require(pdu.itt == rules.NO_TAG, "a reject with a task tag")
        header = pdu.data[:48]
        require(self._headers[header] > 0, "a reject of a PDU that was never sent")
        self._headers[header] -= 1
        kind, itt = header[0] & 0x3F, int.from_bytes(header[16:20], "big")
        if kind == rules.COMMAND:
            self._tasks.rejected(header)
        elif self._asked[kind, itt]:
            self._asked[kind, itt] -= 1

    def _async(self, pdu: RawPdu) -> None:
        require(pdu.header[36] in rules.ASYNC_EVENTS, "an asynchronous event that is not defined")
        require(pdu.itt == rules.NO_TAG, "an asynchronous message with a task tag")

    def _data_in(self, pdu: RawPdu) -> None:
        require(not self._login.discovery, "data in a discovery session")
        self._tasks.data_in(pdu)

    def _response(self, pdu: RawPdu) -> None:
        require(not self._login.discovery, "a SCSI response in a discovery session")
        self._tasks.response(pdu)

    def _r2t(self, pdu: RawPdu) -> None:
        self._tasks.r2t(pdu)


_HANDLERS: dict[int, Callable[[Judge, RawPdu], None]] = {
    rules.LOGIN_ANSWER: Judge._logged_in,
    rules.NOP_IN: Judge._nop_in,
    rules.TASK_ANSWER: Judge._task_answer,
    rules.TEXT_ANSWER: Judge._text_answer,
    rules.LOGOUT_ANSWER: Judge._logout_answer,
    rules.REJECT: Judge._reject,
    rules.ASYNC: Judge._async,
    rules.DATA_IN: Judge._data_in,
    rules.RESPONSE: Judge._response,
    rules.R2T: Judge._r2t,
}
