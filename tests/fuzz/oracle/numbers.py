"""StatSN, ExpCmdSN and MaxCmdSN (RFC 7143 section 4.2.2)."""

from tests.fuzz.oracle import rules
from tests.fuzz.oracle.rules import ahead, require
from tests.fuzz.streams import RawPdu

_NUMBERED = frozenset(
    {rules.NOP_OUT, rules.COMMAND, rules.TASK_MANAGEMENT, rules.TEXT, rules.LOGOUT, rules.LOGIN}
)
_ABORT_TASK = 1
_WINDOW = 1 << 31


class Numbers:
    """Follows one connection."""

    def __init__(self) -> None:
        self._stat_sn: int | None = None
        self._expected: int | None = None
        self._maximum = 0
        self._came: set[int] = set()
        self.first_window = 0
        """Commands that the window had room for at the first answer."""
        self.window = 0

    def sent(self, pdu: RawPdu) -> None:
        """Note the CmdSN that a request uses up, or lets count as come (section 11.6.1, note 2)."""
        if pdu.opcode in _NUMBERED and not pdu.immediate:
            self._came.add(pdu.u32(24))
        if pdu.opcode == rules.TASK_MANAGEMENT and pdu.header[1] & 0x7F == _ABORT_TASK:
            self._came.add(pdu.u32(32))

    def received(self, pdu: RawPdu) -> None:
        if pdu.opcode == rules.LOGIN_ANSWER and pdu.u16(36):
            return  # after a refusal the numbers mean nothing
        self._window(pdu.u32(28), pdu.u32(32))
        self._status(pdu)

    def _status(self, pdu: RawPdu) -> None:
        """Each PDU with a status has the next StatSN; a ping and an R2T show it (11.19.1, 11.8.2)."""
        stat_sn, opcode = pdu.u32(24), pdu.opcode
        if opcode == rules.DATA_IN and not pdu.flag(0):
            return
        if self._stat_sn is not None:
            require(stat_sn == self._stat_sn, f"StatSN {stat_sn} instead of {self._stat_sn}")
        if opcode == rules.R2T or (opcode == rules.NOP_IN and pdu.itt == rules.NO_TAG):
            return
        self._stat_sn = stat_sn + 1 & 0xFFFFFFFF

    def _window(self, expected: int, maximum: int) -> None:
        if self._expected is None:
            self._expected, self._maximum = expected, maximum
        self._expect(expected)
        require(ahead(self._maximum, maximum) >= 0, "MaxCmdSN went back")
        self._maximum = maximum
        self.window = ahead(expected, maximum) + 1
        self.first_window = self.first_window or self.window
        require(0 <= self.window < _WINDOW, f"a window of {self.window} commands")

    def _expect(self, expected: int) -> None:
        """ExpCmdSN passes what came, and nothing else."""
        assert self._expected is not None
        require(ahead(self._expected, expected) >= 0, "ExpCmdSN went back")
        while self._expected != expected:
            require(self._expected in self._came, f"ExpCmdSN passed {self._expected}, which never came")
            self._expected = self._expected + 1 & 0xFFFFFFFF
