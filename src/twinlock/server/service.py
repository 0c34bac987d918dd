"""An open volume and the sessions on it, inside its worker."""

import itertools
import logging
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import SecretBytes

from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.session import SessionType
from twinlock.server.admission import Admission
from twinlock.server.background import Background
from twinlock.server.connection import Connection
from twinlock.server.directory import SingleTarget
from twinlock.server.execute import Executor
from twinlock.server.messages import SessionStatus, VolumeSpec, VolumeStatus
from twinlock.server.volume import Volume, open_volume

POOL_THREADS = 16
"""Commands that may wait for a medium at once."""
MAX_STRANGERS = 16
"""Connections of this volume that have not logged in."""
LOGOUT_SECONDS = 3
"""What initiators are given to log out when the volume is about to close."""

log = logging.getLogger(__name__)


class Service:
    """Everything a worker has, once its volume is open."""

    def __init__(self, spec: VolumeSpec, volume: Volume) -> None:
        self.spec = spec
        self._volume = volume
        self._executor = Executor(volume.unit, volume.device)
        self._directory = SingleTarget(spec)
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="medium")
        self._admission = Admission(spec.patience)
        self._tsih = itertools.count(1)
        self._connections: dict[Connection, None] = {}  # oldest first
        self._lock = threading.Lock()
        self._background = Background(volume.mirror.step)
        self._background.start()

    @classmethod
    def open(cls, spec: VolumeSpec, passphrase: SecretBytes | None, derivation_lock: Path) -> "Service":
        """Assemble and unlock; raises TwinlockError with nothing changed."""
        return cls(spec, open_volume(spec, passphrase, derivation_lock))

    def serve(self, sock: socket.socket, first: bytes, peer: str) -> None:
        """Serve a connection in a thread of its own."""
        sock.setblocking(True)
        protocol = TargetConnection(
            self._directory,
            random_bytes=secrets.token_bytes,
            tsih=next(self._tsih) % 0xFFFF + 1,
            session_types=[SessionType.NORMAL],
        )
        connection = Connection(
            sock, peer, protocol, self._volume.target, self._executor, self._pool, self._admission
        )
        self._keep(connection)
        try:
            threading.Thread(target=self._run, args=(connection, first), name=peer, daemon=True).start()
        except RuntimeError:  # there are too many threads on this machine
            self._forget(connection)
            sock.close()

    def _keep(self, connection: Connection) -> None:
        """Strangers take turns: beyond their number, the one who has been trying longest has to go."""
        with self._lock:
            strangers = [known for known in self._connections if known.is_stranger]
            self._connections[connection] = None
        if len(strangers) >= MAX_STRANGERS:
            strangers[0].abort()

    def _forget(self, connection: Connection) -> None:
        with self._lock:
            self._connections.pop(connection, None)

    def _run(self, connection: Connection, first: bytes) -> None:
        try:
            connection.run(first)
        finally:
            self._forget(connection)

    def status(self) -> VolumeStatus:
        """How the volume is."""
        holder = self._admission.holder
        session = None
        if isinstance(holder, Connection) and holder.session is not None:
            session = SessionStatus(
                initiator=holder.session.initiator_name, peer=holder.peer, since=holder.since
            )
        return self._volume.status(self.spec.target, session)

    def close(self) -> None:
        """Tell the sessions, let them finish, flush and mark clean."""
        self._admission.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.request_logout(LOGOUT_SECONDS)
        until = time.monotonic() + LOGOUT_SECONDS
        for connection in connections:
            if not connection.wait(max(0.0, until - time.monotonic())):
                connection.evict()
        self._pool.shutdown()
        self._background.stop()
        self._volume.close()
        log.info("volume %s is closed", self.spec.name)
