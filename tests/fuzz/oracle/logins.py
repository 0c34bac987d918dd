"""The login phase as the initiator sees it (RFC 7143 sections 6.3, 11.12, 11.13)."""

from tests.fuzz.oracle import rules
from tests.fuzz.oracle.rules import require
from tests.fuzz.oracle.tasks import Limits
from tests.fuzz.streams import NO_DIGESTS, Digests, RawPdu

_FULL_FEATURE = 3
_INVALID_DURING_LOGIN = 0x020B
_LEGAL = {(0, 1), (0, 3), (1, 3)}


def keys_of(data: bytes) -> dict[str, str]:
    """Text keys, read generously."""
    pairs = (piece.partition(b"=") for piece in data.split(b"\0") if piece)
    return {key.decode("latin-1"): value.decode("latin-1") for key, _, value in pairs}


class Login:
    """One login; ``limits`` are filled in with what comes of it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._requests: list[RawPdu] = []
        self._text = b""
        self._declared: list[int] = []
        self.digests = NO_DIGESTS
        self.done = False
        self.refused = False
        self.discovery = False

    @property
    def unanswered(self) -> int:
        """Login requests without a response."""
        return 0 if self.refused else len(self._requests)

    @property
    def at_the_door(self) -> bool:
        """A request that may end the login is not answered yet."""
        return any(each.header[1] & 0x83 == 0x83 for each in self._requests) and not self.done

    def sent(self, pdu: RawPdu) -> None:
        self._requests.append(pdu)
        self.heard_text(pdu.data)

    def heard_text(self, data: bytes) -> None:
        """Learn from the initiator's text, in whatever phase; it may be cut in the middle of a key."""
        self._text = self._text[-20000:] + data
        keys = keys_of(self._text)
        self.discovery = self.discovery or (keys.get("SessionType") == "Discovery" and not self.done)
        value = keys.get("MaxRecvDataSegmentLength", "")
        if value.isascii() and value.isdigit() and 512 <= int(value) < 1 << 24:
            if self.done and not self._declared:  # what held before may hold still
                self._declared.append(self._limits.segment)
            self._declared.append(int(value))
            self._limits.segment = max(self._declared)
        elif value:  # hexadecimal, say, or refused: then nothing is known
            self._declared.append(1 << 24)
            self._limits.segment = 1 << 24

    def received(self, pdu: RawPdu) -> None:
        if not self._requests:  # a PDU that has no place in the login phase ends it (section 7.13, 0x020b)
            require(pdu.u16(36) == _INVALID_DURING_LOGIN, "a login response that no request asked for")
            self.refused = True
            return
        request = self._requests.pop(0)
        require(pdu.u16(36) in rules.LOGIN_STATUSES, f"login status {pdu.u16(36):#06x}")
        require(pdu.itt == request.itt, "a login response with another task tag")
        require(pdu.header[8:14] == request.header[8:14], "a login response with another ISID")
        if pdu.u16(36):
            self.refused = True
            return
        self._granted(request, pdu)
        self._agreed(keys_of(pdu.data))

    def _granted(self, request: RawPdu, pdu: RawPdu) -> None:
        stage, following = pdu.header[1] >> 2 & 3, pdu.header[1] & 3
        require(stage == request.header[1] >> 2 & 3, "a login response of another stage")
        require(not (pdu.flag(7) and pdu.flag(6)), "a transition while text is to be continued")
        if pdu.flag(7):
            require(request.flag(7), "a transition that was not asked for")
            require(following == request.header[1] & 3, "a transition to another stage")
            require((stage, following) in _LEGAL, "a transition that does not exist")
            self.done = following == _FULL_FEATURE
        require((pdu.u16(14) != 0) == self.done, "a TSIH before the end of the login, or none after")

    def _agreed(self, keys: dict[str, str]) -> None:
        for key, name in (("MaxBurstLength", "max_burst"), ("MaxOutstandingR2T", "outstanding_r2ts")):
            if keys.get(key, "").isdigit():
                setattr(self._limits, name, int(keys[key]))
        self.digests = Digests(
            header=self.digests.header or keys.get("HeaderDigest") == "CRC32C",
            data=self.digests.data or keys.get("DataDigest") == "CRC32C",
        )
