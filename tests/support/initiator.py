"""A small initiator, without I/O: what it wants to send is queued, what it gets is fed to it.

It knows the protocol only from the outside: headers come from the declarations
in ``twinlock.wire``, everything else (framing, CHAP, sequence numbers, Data-Outs)
is its own, so that it can contradict the target.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from crc32c import crc32c

from twinlock.wire.iscsi_codes import RESERVED_TAG, LoginStatus, Stage, TaskManagementFunction
from twinlock.wire.iscsi_requests import (
    DataOut,
    LoginRequest,
    LogoutRequest,
    NopOut,
    ScsiCommand,
    TaskManagementRequest,
    TextRequest,
)
from twinlock.wire.iscsi_responses import (
    R2T,
    RESPONSES,
    AsyncMessage,
    DataIn,
    LoginResponse,
    NopIn,
    Reject,
    ScsiResponse,
)
from twinlock.wire.structure import Structure

HASHES = {5: hashlib.md5, 6: hashlib.sha1, 7: hashlib.sha256, 8: hashlib.sha3_256}
OPERATIONAL_KEYS = {
    "HeaderDigest": "None",
    "DataDigest": "None",
    "MaxConnections": "1",
    "InitialR2T": "No",
    "ImmediateData": "Yes",
    "MaxRecvDataSegmentLength": "262144",
    "MaxBurstLength": "262144",
    "FirstBurstLength": "65536",
    "DefaultTime2Wait": "2",
    "DefaultTime2Retain": "0",
    "MaxOutstandingR2T": "1",
    "DataPDUInOrder": "Yes",
    "DataSequenceInOrder": "Yes",
    "ErrorRecoveryLevel": "0",
}


@dataclass(frozen=True)
class Credentials:
    """CHAP, as an initiator is configured with it."""

    user: str
    secret: bytes
    mutual_user: str = ""
    mutual_secret: bytes = b""
    algorithms: str = "5"


@dataclass
class Outcome:
    """What came back for a command."""

    status: int | None = None
    data: bytearray = field(default_factory=bytearray)
    sense: bytes = b""
    residual: int = 0
    """Positive for an overflow, negative for an underflow."""


@dataclass(frozen=True)
class Reply:
    """One PDU from the target."""

    header: Any
    data: bytes


def keys_of(data: bytes) -> dict[str, str]:
    """The text keys of a data segment (the last of those that come again)."""
    pairs = (piece.decode().partition("=") for piece in data.split(b"\0") if piece)
    return {key: value for key, _, value in pairs}


def text_of(keys: dict[str, str]) -> bytes:
    """The data segment that holds text keys."""
    return b"".join(f"{key}={value}\0".encode() for key, value in keys.items())


def digest(data: bytes) -> bytes:
    """The four bytes that follow ``data`` where digests were agreed."""
    return crc32c(data).to_bytes(4, "little")


@dataclass(frozen=True)
class Digests:
    """Where digests were agreed."""

    header: bool = False
    data: bool = False


NO_DIGESTS = Digests()


def pdu(header: Structure, data: bytes = b"", ahs: bytes = b"", digests: Digests = NO_DIGESTS) -> bytes:
    """A whole PDU, with lengths, padding and digests filled in."""
    lengths = header.replace(data_segment_length=len(data), total_ahs_length=len(ahs) // 4)
    parts = [lengths.build() + ahs, data + bytes(-len(data) % 4)]
    wanted = (digests.header, digests.data and bool(data))
    return b"".join(part + digest(part) * want for part, want in zip(parts, wanted, strict=True))


def first_reply(data: bytes, digests: Digests = NO_DIGESTS) -> tuple[Reply, bytes] | None:
    """The PDU of a target that ``data`` begins with, and the rest; None if it is not all there."""
    if len(data) < 48:
        return None
    length = int.from_bytes(data[5:8], "big")
    start = 48 + 4 * digests.header
    stop = start + length + -length % 4
    end = stop + 4 * (digests.data and length > 0)
    if len(data) < end:
        return None
    assert not digests.header or data[48:start] == digest(data[:48]), "a wrong header digest"
    assert stop == end or data[stop:end] == digest(data[start:stop]), "a wrong data digest"
    return Reply(RESPONSES[data[0] & 0x3F].parse(data), data[start : start + length]), data[end:]


def replies_in(data: bytes, digests: Digests = NO_DIGESTS) -> tuple[list[Reply], bytes]:
    """The whole PDUs of a target that ``data`` begins with, and the rest."""
    replies = []
    while (found := first_reply(data, digests)) is not None:
        replies.append(found[0])
        data = found[1]
    return replies, data


class Initiator:
    """One session.  Send :meth:`take_output`, feed what comes to :meth:`receive`."""

    def __init__(
        self,
        target_name: str | None,
        *,
        name: str = "iqn.2026-11.example:initiator",
        isid: bytes = b"\x80\x00\x00\x00\x00\x01",
        credentials: Credentials | None = None,
        cmd_sn: int = 1,
        keys: dict[str, str] | None = None,
    ) -> None:
        """``target_name`` None means a discovery session; ``keys`` replace or add operational keys."""
        self.name = name
        self.target_name = target_name
        self.isid = isid
        self.credentials = credentials
        self.cmd_sn = cmd_sn
        self.exp_stat_sn = 0
        self.max_cmd_sn = cmd_sn
        self.keys = OPERATIONAL_KEYS | (keys or {})
        self.negotiated: dict[str, str] = {}
        self.digests = NO_DIGESTS
        self.login_status: LoginStatus | None = None
        self.logged_in = False
        self.replies: list[Reply] = []
        self.outcomes: dict[int, Outcome] = {}
        self.rejects: list[Reply] = []
        self.answers_r2t = True
        self.data_out_length = 262144
        """Bytes of the longest Data-Out it sends."""
        self.always_transit = False
        """Whether it sets the T bit on every login request."""
        self._writes: dict[int, bytes] = {}
        self._tag = 0
        self._output = bytearray()
        self._input = b""
        self._stage = Stage.SECURITY
        self._mutual_challenge = b"\x11\x22\x33\x44" * 4
        self._chap: tuple[int, int] | None = None

    # -- input and output ---------------------------------------------------------------------------

    def take_output(self) -> bytes:
        output, self._output = bytes(self._output), bytearray()
        return output

    def send(self, header: Structure, data: bytes = b"", ahs: bytes = b"") -> None:
        self._output += pdu(header, data, ahs, self.digests)

    def receive(self, data: bytes) -> list[Reply]:
        """Take bytes from the target; Data-Outs and answers to pings are queued by themselves."""
        replies: list[Reply] = []
        self._input += data
        while (found := first_reply(self._input, self.digests)) is not None:
            reply, self._input = found
            replies.append(reply)
            self.replies.append(reply)
            self._follow(reply.header)
            self._react(reply)
        return replies

    def _follow(self, header: Any) -> None:
        carries_status = not isinstance(header, R2T | DataIn) or getattr(header, "status_present", False)
        if (carries_status and header.initiator_task_tag != RESERVED_TAG) or isinstance(
            header, Reject | AsyncMessage
        ):
            self.exp_stat_sn = header.stat_sn + 1
        self.max_cmd_sn = header.max_cmd_sn

    def _react(self, reply: Reply) -> None:
        match reply.header:
            case LoginResponse():
                self._login_response(reply.header, keys_of(reply.data))
            case R2T():
                self._send_burst(reply.header)
            case DataIn():
                self._data_in(reply.header, reply.data)
            case ScsiResponse():
                self._response(reply.header, reply.data)
            case Reject():
                self.rejects.append(reply)
            case NopIn(initiator_task_tag=0xFFFFFFFF, target_transfer_tag=tag):
                self.send(
                    NopOut(initiator_task_tag=RESERVED_TAG, target_transfer_tag=tag, cmd_sn=self.cmd_sn)
                )

    # -- login ----------------------------------------------------------------------------------------

    def login(self) -> None:
        """Queue the first login request; the others follow by themselves."""
        keys = {"InitiatorName": self.name}
        if self.target_name is None:
            keys["SessionType"] = "Discovery"
        else:
            keys |= {"SessionType": "Normal", "TargetName": self.target_name}
        keys["AuthMethod"] = "CHAP,None" if self.credentials else "None"
        self.login_request(keys, transit=self.credentials is None)

    def login_request(self, keys: dict[str, str], *, transit: bool, **fields: Any) -> None:
        """Queue a login request of the present stage."""
        transit = transit or self.always_transit
        following = Stage.OPERATIONAL if self._stage is Stage.SECURITY else Stage.FULL_FEATURE
        header = LoginRequest(
            transit=transit,
            current_stage=self._stage,
            next_stage=following if transit else 0,
            isid=self.isid,
            cid=0,
            cmd_sn=self.cmd_sn,
            exp_stat_sn=self.exp_stat_sn,
        )
        self.send(header.replace(**fields), text_of(keys))

    def _login_response(self, header: LoginResponse, keys: dict[str, str]) -> None:
        self.negotiated |= keys
        if header.status or (header.transit and header.next_stage == Stage.FULL_FEATURE):
            self.login_status = LoginStatus(header.status)
            self.logged_in = not header.status
            agreed = [self.negotiated.get(f"{part}Digest") == "CRC32C" for part in ("Header", "Data")]
            self.digests = Digests(*agreed) if self.logged_in else NO_DIGESTS
        elif header.transit:
            self._stage = Stage(header.next_stage)
            self.login_request(self.keys, transit=True)
        elif keys.get("AuthMethod") == "CHAP" and self.credentials:
            self.login_request({"CHAP_A": self.credentials.algorithms}, transit=False)
        elif "CHAP_C" in keys:
            self._answer_challenge(keys)

    def _answer_challenge(self, keys: dict[str, str]) -> None:
        assert self.credentials is not None
        self._chap = int(keys["CHAP_A"]), 42
        challenge = bytes.fromhex(keys["CHAP_C"][2:])
        answer = {
            "CHAP_N": self.credentials.user,
            "CHAP_R": "0x" + self._proof(int(keys["CHAP_I"]), self.credentials.secret, challenge).hex(),
        }
        if self.credentials.mutual_user:
            answer |= {"CHAP_I": "42", "CHAP_C": "0x" + self._mutual_challenge.hex()}
        self.login_request(answer, transit=True)

    def _proof(self, identifier: int, secret: bytes, challenge: bytes) -> bytes:
        assert self._chap is not None
        return HASHES[self._chap[0]](bytes([identifier]) + secret + challenge).digest()

    @property
    def target_proved_itself(self) -> bool:
        """Whether the target answered mutual CHAP rightly."""
        assert self.credentials is not None
        proof = self._proof(42, self.credentials.mutual_secret, self._mutual_challenge).hex()
        return (self.negotiated.get("CHAP_N"), self.negotiated.get("CHAP_R")) == (
            self.credentials.mutual_user,
            "0x" + proof,
        )

    # -- full feature phase ---------------------------------------------------------------------------

    def _number(self, *, immediate: bool) -> dict[str, Any]:
        """A task tag and a CmdSN, and the StatSN that is expected."""
        self._tag += 1
        numbers = {
            "initiator_task_tag": self._tag,
            "cmd_sn": self.cmd_sn,
            "exp_stat_sn": self.exp_stat_sn,
            "immediate": immediate,
        }
        if not immediate:
            self.cmd_sn = (self.cmd_sn + 1) % (1 << 32)
        return numbers

    def command(
        self,
        cdb: bytes,
        *,
        read: int = 0,
        write: bytes = b"",
        in_command: int | None = None,
        unsolicited: int = 0,
        immediate: bool = False,
        ahs: bytes = b"",
        **fields: Any,
    ) -> int:
        """Queue a command and return its tag.

        ``in_command`` bytes of ``write`` go with it (all that may by default), ``unsolicited`` more in
        Data-Outs that follow at once.
        """
        if in_command is None:
            allowed = self.negotiated.get("ImmediateData", "Yes") == "Yes"
            in_command = (
                min(len(write), int(self.negotiated.get("FirstBurstLength", 65536))) if allowed else 0
            )
        header = ScsiCommand(
            **self._number(immediate=immediate),
            final=not unsolicited,
            read=read > 0,
            write=len(write) > 0,
            expected_data_transfer_length=read or len(write),
            cdb=cdb,
        )
        tag = header.initiator_task_tag
        self._writes[tag] = write
        self.outcomes[tag] = Outcome()
        self.send(header.replace(**fields), write[:in_command], ahs)
        if unsolicited:
            self.data_out(tag, RESERVED_TAG, in_command, in_command + unsolicited)
        return tag

    def data_out(self, tag: int, transfer_tag: int, start: int, end: int) -> None:
        """Queue a sequence of Data-Outs with the bytes of a write from ``start`` to ``end``."""
        data = self._writes[tag]
        for data_sn, offset in enumerate(range(start, end, self.data_out_length)):
            stop = min(offset + self.data_out_length, end)
            header = DataOut(
                final=stop == end,
                initiator_task_tag=tag,
                target_transfer_tag=transfer_tag,
                data_sn=data_sn,
                buffer_offset=offset,
            )
            self.send(header, data[offset:stop])

    def _send_burst(self, header: R2T) -> None:
        if self.answers_r2t and header.initiator_task_tag in self._writes:
            end = header.buffer_offset + header.desired_data_transfer_length
            self.data_out(header.initiator_task_tag, header.target_transfer_tag, header.buffer_offset, end)

    def _data_in(self, header: DataIn, data: bytes) -> None:
        outcome = self.outcomes[header.initiator_task_tag]
        assert header.buffer_offset == len(outcome.data), "Data-In with a gap"
        outcome.data += data
        if header.status_present:
            self._end(header)

    def _response(self, header: ScsiResponse, data: bytes) -> None:
        length = int.from_bytes(data[:2], "big")
        self.outcomes[header.initiator_task_tag].sense = data[2 : 2 + length]
        self._end(header)

    def _end(self, header: ScsiResponse | DataIn) -> None:
        outcome = self.outcomes[header.initiator_task_tag]
        assert outcome.status is None, "a second status"
        outcome.status = header.status
        sign = 1 if header.overflow else -1 if header.underflow else 0
        outcome.residual = sign * header.residual_count

    def nop(self, data: bytes = b"", *, immediate: bool = True) -> None:
        self.send(NopOut(**self._number(immediate=immediate)), data)

    def text(self, keys: dict[str, str], **fields: Any) -> None:
        self.send(TextRequest(**self._number(immediate=False)).replace(**fields), text_of(keys))

    def task_management(self, function: TaskManagementFunction | int, **fields: Any) -> None:
        self.send(TaskManagementRequest(**self._number(immediate=True), function=function).replace(**fields))

    def logout(self, reason: int = 0, cid: int = 0) -> None:
        self.send(LogoutRequest(**self._number(immediate=True), reason=reason, cid=cid))
