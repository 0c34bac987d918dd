"""The socket between supervisor and worker: one sequenced packet, one message, JSON throughout.

A login travels as the client's socket (SCM_RIGHTS) together with the bytes already read from it.
"""

import os
import socket
from pathlib import Path

from twinlock.server.messages import Envelope

MAX_MESSAGE = 128 * 1024
"""Bytes of the longest message; far above a login's first request, far below the socket's buffer."""
MAX_ATTACHED = 64 * 1024 * 1024
"""Bytes of the longest message in a memfd: a header area (16 MiB) or a key file (8 MiB), in base64."""

_ATTACHED = b"@"


def encode(envelope: Envelope) -> bytes:
    """The packet of a message."""
    return envelope.model_dump_json(exclude_none=True).encode()


def decode(packet: bytes) -> Envelope:
    """The message of a packet; raises ValueError if it is none."""
    return Envelope.model_validate_json(packet)


def address(path: Path) -> str:
    """A name for a Unix socket that fits into ``sun_path`` (107 bytes) however deep the folder lies.

    Too long a path is reached through the folder's file descriptor, which stays open for the process's life.
    """
    if len(str(path).encode()) <= 107:
        return str(path)
    return f"/proc/self/fd/{_folder(path.parent)}/{path.name}"


_folders: dict[Path, int] = {}


def _folder(path: Path) -> int:
    if path not in _folders:
        _folders[path] = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return _folders[path]


def packet_socket() -> socket.socket:
    """A socket for control messages."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def packed(envelope: Envelope) -> tuple[bytes, int | None]:
    """The packet of a message; one that is too long for that travels in a memfd, which the caller closes."""
    packet = encode(envelope)
    if len(packet) <= MAX_MESSAGE:
        return packet, None
    number = os.memfd_create("message")
    with os.fdopen(os.dup(number), "wb") as file:
        file.write(packet)
    return _ATTACHED, number


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    """One packet and the file descriptors that came with it; empty at the end."""
    packet, descriptors, _, _ = socket.recv_fds(sock, MAX_MESSAGE, 1)
    return (
        (_attached(descriptors.pop()), []) if packet == _ATTACHED and descriptors else (packet, descriptors)
    )


def _attached(number: int) -> bytes:
    """The message in a memfd, which is closed."""
    with os.fdopen(number, "rb") as file:
        file.seek(0)
        return file.read(MAX_ATTACHED)
