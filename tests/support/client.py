"""A small initiator over a real socket: read, write and flush blocks, and see exactly what came back."""

import socket
import struct
import time

from tests.support.initiator import Credentials, Initiator, Outcome
from twinlock.wire.iscsi_codes import LoginStatus


class Refused(Exception):
    """The login was refused; ``status`` says why."""

    def __init__(self, status: LoginStatus | None) -> None:
        super().__init__(status)
        self.status = status


class Client:
    """One session; commands wait for their end."""

    def __init__(
        self,
        port: int,
        target: str,
        credentials: Credentials | None = None,
        *,
        name: str = "iqn.2026-11.example:client",
        isid: bytes = b"\x80\x00\x00\x00\x00\x01",
        timeout: float = 60,
    ) -> None:
        """Log in; raises Refused."""
        self.protocol = Initiator(target, name=name, isid=isid, credentials=credentials)
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.protocol.login()
        while self.protocol.login_status is None:
            self.pump()
        if not self.protocol.logged_in:
            self.sock.close()
            raise Refused(self.protocol.login_status)
        self.execute(bytes(16))  # TEST UNIT READY takes the unit attention of a new nexus

    def pump(self) -> None:
        """Send what is queued, and wait for something to come; EOFError if the target closes."""
        self.sock.sendall(self.protocol.take_output())
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError("the target closed the connection")
        self.protocol.receive(data)
        self.sock.sendall(self.protocol.take_output())

    def execute(self, cdb: bytes, *, read: int = 0, write: bytes = b"") -> Outcome:
        """Run one command to its end."""
        return self.wait(self.protocol.command(cdb.ljust(16, b"\0"), read=read, write=write))

    def wait(self, tag: int) -> Outcome:
        """The outcome of a command that was queued."""
        outcome = self.protocol.outcomes[tag]
        while outcome.status is None:
            self.pump()
        return outcome

    def read(self, block: int, count: int, block_size: int = 512) -> bytes:
        outcome = self.execute(_cdb(0x88, block, count), read=count * block_size)
        assert outcome.status == 0, outcome
        return bytes(outcome.data)

    def write(self, block: int, data: bytes, block_size: int = 512) -> None:
        outcome = self.execute(_cdb(0x8A, block, len(data) // block_size), write=data)
        assert outcome.status == 0, outcome

    def flush(self) -> None:
        outcome = self.execute(_cdb(0x91, 0, 0))
        assert outcome.status == 0, outcome

    def capacity(self) -> tuple[int, int]:
        """Blocks, and bytes of a block."""
        data = self.execute(b"\x9e\x10" + bytes(8) + (32).to_bytes(4, "big") + bytes(2), read=32).data
        return int.from_bytes(data[:8], "big") + 1, int.from_bytes(data[8:12], "big")

    def await_end(self, seconds: float) -> bool:
        """True if the target closes the connection within that time."""
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until:
                self.sock.settimeout(max(0.01, until - time.monotonic()))
                self.pump()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False
        return False

    def reset(self) -> None:
        """Gone with an RST, as a machine that was restarted answers."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        """Gone without a word."""
        self.sock.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cdb(opcode: int, block: int, count: int) -> bytes:
    """A 16-byte CDB of the READ(16) family."""
    return bytes([opcode, 0]) + block.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(2)
