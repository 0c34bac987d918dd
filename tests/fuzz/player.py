"""The initiator that is fuzzed with: it knows how to behave, and lies as often as it is told to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.fuzz import cdbs
from tests.fuzz.choices import Choices
from tests.fuzz.delivery import pieces
from tests.fuzz.link import Link
from tests.fuzz.mutations import MUTATIONS
from tests.fuzz.oracle import rules
from tests.fuzz.oracle.logins import keys_of
from tests.fuzz.streams import NO_DIGESTS, RawPdu, assemble
from twinlock.wire.iscsi_requests import DataOut, ScsiCommand
from twinlock.wire.structure import Structure

_LONGEST_QUEUE = 64
"""Facts of each kind that are remembered: pings, tags."""
_MOST_R2TS = 2000
"""More than a window of commands can have outstanding: each must be answered."""
_ISIDS = (b"\x40\0\1\x37\0\0", b"\x40\0\1\x37\0\1")


@dataclass(frozen=True, slots=True)
class Solicited:
    """An R2T that waits for its answer."""

    itt: int
    tag: int
    offset: int
    length: int
    lun: bytes


class Player:
    """One initiator, over as many connections as it comes to."""

    def __init__(self, choices: Choices, link: Link, *, lies: int) -> None:
        """``lies``: of 100 PDUs, how many are changed on their way."""
        self.choices = choices
        self.link = link
        self.lies = lies
        self.begin()

    def begin(self) -> None:
        """A new connection: nothing is known of it."""
        self.agreed: dict[str, str] = {}
        self.cmd_sn = self.choices.pick((1, 0, 0xFFFFFFFE, 0x7FFFFFFF))
        self.max_cmd_sn = self.cmd_sn
        self.exp_stat_sn = 0
        self.isid = self.choices.pick(_ISIDS)
        self.stage = 0
        self.last_login: tuple[int, int] = 0, 0
        """Status and flags of the last login response."""
        self.writes: dict[int, bytes] = {}
        self.tags: list[int] = []
        self.r2ts: list[Solicited] = []
        self.pings: list[int] = []
        self.text_tags: list[int] = []
        self._itt = 0
        self._queue = b""
        self._before = b""

    @property
    def honest(self) -> bool:
        return self.lies == 0

    @property
    def window_open(self) -> bool:
        return rules.ahead(self.cmd_sn, self.max_cmd_sn) >= 0

    # -- output -------------------------------------------------------------------------------------

    def numbers(self, *, immediate: bool = False) -> dict[str, Any]:
        """The fields every request has."""
        self._itt = self._itt + 1 if self.honest or self.choices.chance(95) else self.choices.below(4)
        self.tags = [*self.tags[-_LONGEST_QUEUE:], self._itt]
        fields = {
            "initiator_task_tag": self._itt,
            "cmd_sn": self.cmd_sn,
            "exp_stat_sn": self.exp_stat_sn,
            "immediate": immediate,
        }
        if not immediate:
            self.cmd_sn = self.cmd_sn + 1 & rules.NO_TAG
        return fields

    def put(self, header: Structure, data: bytes = b"", ahs: bytes = b"") -> None:
        """Queue a PDU, true or not; most queues leave at once."""
        pdu = RawPdu(header.build(), data, ahs)
        digests = self.link.judge.digests if self.link.judge.logged_in else NO_DIGESTS
        if self.lies and self.choices.chance(self.lies):
            self.put_raw(self.choices.pick(MUTATIONS)(self.choices, pdu, digests))
        else:
            self.put_raw(assemble(pdu, digests))
        if not self.choices.chance(25):
            self.flush()

    def put_raw(self, data: bytes) -> None:
        self._queue += data
        self._before = data

    def repeat(self) -> None:
        """What was sent last, once more."""
        self._queue += self._before
        self.flush()

    def flush(self) -> None:
        """Deliver what is queued, cut as it comes."""
        data, self._queue = self._queue, b""
        for piece in pieces(self.choices, data):
            if self.link.over:
                return
            self.learn(self.link.deliver(piece))

    # -- commands -----------------------------------------------------------------------------------

    def command(self, request: cdbs.Request, lun: bytes = bytes(8), **fields: Any) -> None:
        """A SCSI command with as much of its data as may (or may not) go along."""
        first, unsolicited = self._shares(len(request.data_out))
        header = ScsiCommand(
            **self.numbers(immediate=not self.honest and self.choices.chance(5)),
            final=not unsolicited,
            read=request.data_in > 0 and not request.data_out,
            write=len(request.data_out) > 0,
            lun=lun,
            expected_data_transfer_length=len(request.data_out) or request.data_in,
            cdb=request.cdb[:16],
        )
        header = header.replace(**fields) if fields else header
        self.writes[self._itt] = request.data_out
        self.put(header, request.data_out[:first])
        if unsolicited:
            self.data_out(Solicited(self._itt, rules.NO_TAG, first, unsolicited, lun))

    def _shares(self, length: int) -> tuple[int, int]:
        """Bytes that go with the command, and in unsolicited Data-Outs."""
        longest = min(length, self._agreed_number("FirstBurstLength", 65536), self.segment)
        first = self.choices.pick((longest, longest, 0, longest // 2))
        if self.agreed.get("ImmediateData", "Yes") != "Yes":
            first = 0
        may = self.agreed.get("InitialR2T", "Yes") == "No" and longest > first
        return first, longest - first if may and self.choices.chance(60) else 0

    @property
    def segment(self) -> int:
        """The target's MaxRecvDataSegmentLength."""
        return self._agreed_number("MaxRecvDataSegmentLength", rules.DEFAULT_SEGMENT)

    def _agreed_number(self, key: str, default: int) -> int:
        value = self.agreed.get(key, "")
        return int(value) if value.isdigit() else default

    def data_out(self, asked: Solicited) -> None:
        """The answer to an R2T (or unsolicited data), as one or more Data-Outs."""
        data = self.writes.get(asked.itt, b"")
        size = max(1, min(self.choices.pick((8192, 8192, 512, 1000)), self.segment))
        end = asked.offset + min(asked.length, 1 << 18)
        for data_sn, offset in enumerate(range(asked.offset, end, size)):
            stop = min(offset + size, end)
            header = DataOut(
                final=stop == end,
                lun=asked.lun if asked.tag != rules.NO_TAG else bytes(8),
                initiator_task_tag=asked.itt,
                target_transfer_tag=asked.tag,
                exp_stat_sn=self.exp_stat_sn,
                data_sn=data_sn,
                buffer_offset=offset & 0xFFFFFFFF,
            )
            self.put(header, data[offset:stop].ljust(stop - offset, b"\0"))

    # -- input --------------------------------------------------------------------------------------

    def learn(self, pdus: Iterable[RawPdu]) -> None:
        """Remember what the target said."""
        for pdu in pdus:
            self.max_cmd_sn = pdu.u32(32)
            self.exp_stat_sn = pdu.u32(24) + 1 & rules.NO_TAG
            match pdu.opcode:
                case rules.LOGIN_ANSWER:
                    self.agreed |= keys_of(pdu.data)
                    self.last_login = pdu.u16(36), pdu.header[1]
                case rules.R2T:
                    asked = Solicited(pdu.itt, pdu.u32(20), pdu.u32(40), pdu.u32(44), pdu.header[8:16])
                    self.r2ts = [*self.r2ts[-_MOST_R2TS:], asked]
                case rules.NOP_IN if pdu.itt == rules.NO_TAG:
                    self.pings = [*self.pings[-_LONGEST_QUEUE:], pdu.u32(20)]
                case rules.TEXT_ANSWER if not pdu.flag(7):
                    self.text_tags = [*self.text_tags[-_LONGEST_QUEUE:], pdu.u32(20)]
