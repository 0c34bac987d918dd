"""Two ends of a real connection."""

import socket


def tcp_pair(*, theirs_receive: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Ours and theirs, over the loopback interface; ``theirs_receive``: bytes of the other's buffer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        theirs = socket.socket()
        if theirs_receive is not None:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, theirs_receive)
        theirs.connect(listening.getsockname())
        ours, _ = listening.accept()
    return ours, theirs
