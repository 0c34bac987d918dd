"""The server as a link: a fuzzed session, and the neighbour or a newcomer, through real sockets."""

import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

from tests.fuzz.bench import CREDENTIALS
from tests.fuzz.cdbs import Disk
from tests.fuzz.choices import Choices, table
from tests.fuzz.house import House
from tests.fuzz.neighbour import Neighbour
from tests.fuzz.oracle.judge import Judge
from tests.fuzz.oracle.rules import require
from tests.fuzz.setups import SIZE
from tests.fuzz.streams import RawPdu
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function

ANSWER_SECONDS = 10.0
"""For an answer that is owed; a server that takes longer hangs."""
_GLANCE = 0.001
"""Seconds to wait for what may come or not."""
_RECEIVE = 1 << 18
_RESET_AT_ONCE = struct.pack("ii", 1, 0)


class Gone(Exception):
    """The target has closed the connection."""


class Wire:
    """A socket, and what comes from it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(ANSWER_SECONDS)

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionError):
            raise Gone from None

    def receive(self, seconds: float) -> bytes:
        """What has come within ``seconds``; nothing if nothing has."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return b""
        try:
            data = self.sock.recv(_RECEIVE)
        except ConnectionError:
            data = b""
        if not data:
            raise Gone
        return data


class Served:
    """A link to a :class:`House`; ``pdus`` and ``sessions`` count what was played."""

    def __init__(self, house: House) -> None:
        self._house = house
        self.policy = house.setup.policy
        self.disk = Disk(SIZE // house.setup.block_size, house.setup.block_size)
        self.over = False
        self.pdus = self.sessions = 0
        self.judge = Judge()
        self._wire: Wire | None = None
        self._next_door: Wire | None = None
        self._neighbour = Neighbour(house.device, self._carry, CREDENTIALS[self.policy])
        self._before = house.settled()
        if house.shared:
            self._move_in()
        self.connect()

    # -- the fuzzed session -------------------------------------------------------------------------

    def connect(self) -> None:
        self.hang_up()
        self.judge = Judge()
        self.over = False
        self._wire = Wire(self._house.connect())

    def deliver(self, data: bytes) -> Sequence[RawPdu]:
        before = self.judge.pdus
        self.judge.sent(data)
        try:
            assert self._wire is not None
            self._wire.send(data)
        except Gone:
            return self._ended()
        if self.judge.pdus == before:
            return ()
        return self._heard(_GLANCE if self.judge.unanswered else 0)

    def _heard(self, seconds: float) -> Sequence[RawPdu]:
        """What comes while anything is owed, or until a glance sees nothing."""
        pdus: list[RawPdu] = []
        try:
            assert self._wire is not None
            while data := self._wire.receive(seconds):
                pdus += self.judge.received(data)
                seconds = _GLANCE if self.judge.unanswered else 0
        except Gone:
            pdus += self._ended()
        self._house.check_bugs()
        return pdus

    def _ended(self) -> Sequence[RawPdu]:
        """The target has closed: at a PDU's end, unless it was cut off."""
        self.over = True
        return ()

    def settle(self) -> Sequence[RawPdu]:
        """Wait until all is answered, or data are wanted for it."""
        pdus = [*self._heard(_GLANCE)]  # also the end, if there was one
        until = time.monotonic() + ANSWER_SECONDS
        while self.judge.unanswered and not self.over and not self.judge.solicits:
            require(time.monotonic() < until, "an answer that is owed does not come")
            pdus += self._heard(0.05)
        return pdus

    def hang_up(self) -> None:
        if self._wire is None:
            return
        wire, self._wire = self._wire, None
        if self.pdus % 3 == 0:  # a machine that loses its power sends no FIN
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_ONCE)
        wire.sock.close()
        self.pdus += self.judge.pdus
        self.sessions += 1
        self._house.expect(self._inhabited)
        self._house.check_bugs()

    @property
    def _inhabited(self) -> tuple[int, int, int]:
        """What is there while the neighbour is."""
        sessions, threads, files = self._before
        there = self._next_door is not None
        return sessions + there, threads + 2 * there, files + 2 * there

    # -- the others -----------------------------------------------------------------------------------

    def _move_in(self) -> bool:
        self._next_door = Wire(self._house.connect())
        self._neighbour.begin()
        return self._neighbour.log_in(may_be_refused=not self._house.shared)

    def _move_out(self) -> None:
        wire, self._next_door = self._next_door, None
        if wire is not None:
            wire.sock.close()

    def _carry(self, data: bytes, owed: bool) -> bytes:
        assert self._next_door is not None
        if data:
            self._next_door.send(data)
        answer = self._next_door.receive(ANSWER_SECONDS if owed else 0)
        require(bool(answer) or not owed, "the neighbour waits in vain for an answer")
        return answer

    def visit(self) -> None:
        """In exclusive mode the neighbour comes as a newcomer, and takes over."""
        try:
            if self._next_door is not None or self._move_in():
                self._neighbour.visit()
        except Gone:
            self._house.check_bugs()
            self._neighbour.was_dropped()
            self._move_out()
            if self._house.shared:
                self._move_in()
        if not self._house.shared:
            self._move_out()

    def act(self, choices: Choices, *, fair: bool) -> Sequence[RawPdu]:
        choices.pick(_FAIR if fair else _ACTIONS)(self, choices)
        return self._heard(0)

    def close(self) -> None:
        """The input is over."""
        self.hang_up()
        self._move_out()
        self._house.expect(self._before)


# -- what happens besides -------------------------------------------------------------------------


def _look(_served: Served, _choices: Choices) -> None:
    """Nothing but time for the pool."""


def _ping(served: Served, _choices: Choices) -> None:
    for session in served._house.service._sessions.all():
        session.answers_ping(0)


def _ask_to_log_out(served: Served, _choices: Choices) -> None:
    for connection in served._house.service._lobby.all():
        connection.request_logout(3)


def _reset_by_neighbour(served: Served, choices: Choices) -> None:
    """LOGICAL UNIT RESET or CLEAR TASK SET from next door: it ends our commands in silence."""
    if served._next_door is not None:
        function = choices.pick((Function.LOGICAL_UNIT_RESET, Function.CLEAR_TASK_SET))
        served._neighbour.initiator.task_management(function)
        served.visit()


def _newcomer(served: Served, _choices: Choices) -> None:
    """Somebody else wants the disk; we do not answer the ping."""
    if not served._house.shared:
        served.visit()


Action = Callable[[Served, Choices], None]
_FAIR: tuple[Action, ...] = table((6, _look), (1, _ping), (1, _ask_to_log_out))
_ACTIONS: tuple[Action, ...] = (*_FAIR, _reset_by_neighbour, _newcomer)
