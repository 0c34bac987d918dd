"""Puts data digests between an initiator that has none and the target.

libiscsi of Debian 12 knows header digests but no data digests.  So a relay stands
between: it asks the target for ``DataDigest=CRC32C`` in the initiator's name, appends the
digests to what the initiator sends, and checks and removes those that the target sends.
Header digests, if the two agree on them, pass through as they are; libiscsi's suite offers
``None,CRC32C``, whatever its URL says, and would never get them, so the relay turns that around.
"""

import contextlib
import re
import socket
import threading
from types import TracebackType

from crc32c import crc32c

BHS = 48
LOGIN_REQUEST, LOGIN_RESPONSE = 0x03, 0x23
TRANSIT, FULL_FEATURE = 0x80, 3
_OFFER = re.compile(rb"DataDigest=[^\0]*\0")
_BOTH_HEADERS = b"HeaderDigest=None,CRC32C\0"
_HEADER_AGREED = b"HeaderDigest=CRC32C\0"
_DATA_AGREED = b"DataDigest=CRC32C\0"
_DATA_REFUSED = b"DataDigest=None\0"


class DigestRelay:
    """Listens on a port of 127.0.0.1; every connection leads to ``portal`` (host, port).

    With ``data_digest`` and ``header_digest`` False it only watches.
    """

    def __init__(
        self, portal: tuple[str, int], *, header_digest: bool = True, data_digest: bool = True
    ) -> None:
        self._portal = portal
        self._headers = _HEADER_AGREED if header_digest else _BOTH_HEADERS
        self._data = _DATA_AGREED if data_digest else _DATA_REFUSED
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listening.getsockname()
        self.used = 0
        """PDUs that had a data digest, in both directions."""
        self.agreed: list[tuple[bool, bool]] = []
        """Of each session that was logged in: has it header digests, has it data digests."""
        self.logged_in = threading.Event()
        """Set once the first session has begun."""
        self.faults: list[str] = []
        """What the target did wrong."""

    def __enter__(self) -> "DigestRelay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def offer(self, text: bytes) -> bytes:
        """What the initiator offers the target, with the digests that are wanted."""
        return _OFFER.sub(self._data, text).replace(_BOTH_HEADERS, self._headers)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                pair = _Pair(self, client, socket.create_connection(self._portal))
                for direction in (pair.to_target, pair.to_initiator):
                    threading.Thread(target=pair.run, args=(direction,), daemon=True).start()


class _Pair:
    """The two connections of one session; the digests hold from the end of the login on."""

    def __init__(self, relay: DigestRelay, client: socket.socket, target: socket.socket) -> None:
        self._relay = relay
        self._client, self._target = client, target
        for sock in (client, target):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._logged_in = False
        self._header_digest = self._data_digest = False

    def run(self, direction: object) -> None:
        """Relay one direction to its end; then neither has one any more."""
        try:
            assert callable(direction)
            while direction():
                pass
        except OSError:
            pass
        finally:
            for sock in (self._client, self._target):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def to_target(self) -> bool:
        """One PDU from the initiator; False at the end."""
        header = _receive(self._client, BHS)
        if not header:
            return False
        if header[0] & 0x3F == LOGIN_REQUEST and not self._logged_in:
            text = _receive(self._client, _padded(_length(header)))
            offer = self._relay.offer(text[: _length(header)])
            self._target.sendall(_with_text(header, offer))
            return True
        ahs = _receive(self._client, 4 * header[4] + 4 * self._header_digest)
        data = _receive(self._client, _padded(_length(header)))
        self._target.sendall(header + ahs + data + (self._digest(data) if data else b""))
        return True

    def to_initiator(self) -> bool:
        """One PDU from the target; False at the end."""
        header = _receive(self._target, BHS)
        if not header:
            return False
        if header[0] & 0x3F == LOGIN_RESPONSE:
            text = _receive(self._target, _padded(_length(header)))[: _length(header)]
            self._header_digest |= _HEADER_AGREED in text
            self._data_digest |= _DATA_AGREED in text
            flags, status = header[1], header[36:38]
            self._logged_in = bool(flags & TRANSIT) and flags & 3 == FULL_FEATURE and status == b"\0\0"
            if self._logged_in:
                self._relay.agreed.append((self._header_digest, self._data_digest))
                self._relay.logged_in.set()
            self._client.sendall(_with_text(header, _OFFER.sub(_DATA_REFUSED, text)))
            return True
        ahs = _receive(self._target, 4 * header[4] + 4 * self._header_digest)
        data = _receive(self._target, _padded(_length(header)))
        if data and self._data_digest and _receive(self._target, 4) != self._digest(data):
            self._relay.faults.append(f"a wrong data digest in {header.hex()}")
        self._client.sendall(header + ahs + data)
        return True

    def _digest(self, data: bytes) -> bytes:
        if not self._data_digest:
            return b""
        self._relay.used += 1
        return crc32c(data).to_bytes(4, "little")


def _length(header: bytes) -> int:
    return int.from_bytes(header[5:8], "big")


def _padded(length: int) -> int:
    return length + -length % 4


def _with_text(header: bytes, text: bytes) -> bytes:
    return header[:5] + len(text).to_bytes(3, "big") + header[8:] + text + bytes(-len(text) % 4)


def _receive(sock: socket.socket, length: int) -> bytes:
    """Exactly ``length`` bytes, or none at the end."""
    data = b""
    while len(data) < length:
        piece = sock.recv(length - len(data))
        if not piece:
            return b""
        data += piece
    return data
