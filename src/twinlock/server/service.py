"""An open volume and the sessions on it, inside its worker."""

import itertools
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

from pydantic import SecretBytes

from twinlock.block.bare import BareStore
from twinlock.block.mirror.mirror import Mirror
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.session import SessionType
from twinlock.server.access import AllowList
from twinlock.server.admission import Admission
from twinlock.server.background import Background
from twinlock.server.connection import Connection, Shared
from twinlock.server.directory import SingleTarget
from twinlock.server.execute import Executor
from twinlock.server.gate import Gate
from twinlock.server.last_scrub import ScrubKeeper, scrub_file
from twinlock.server.lobby import Lobby
from twinlock.server.messages import MEMBERS, FailedLogins, SessionStatus, VolumeSpec, VolumeStatus
from twinlock.server.pool import Pool
from twinlock.server.portal import Portal
from twinlock.server.sessions import Sessions
from twinlock.server.task_management import TaskManagement
from twinlock.server.throttle import Throttle
from twinlock.server.timing import SYSTEM_TIMER, Timer
from twinlock.server.volume import Volume, open_volume

LOGOUT_SECONDS = 3
"""What initiators are given to log out when the volume is about to close."""

log = logging.getLogger(__name__)


class Service:
    """Everything a worker has, once its volume is open."""

    def __init__(
        self,
        spec: VolumeSpec,
        volume: Volume,
        *,
        timer: Timer = SYSTEM_TIMER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: seconds since the epoch."""
        self.spec = spec
        self._volume = volume
        self._allowed = AllowList.of(spec.initiators, spec.networks)
        self._sessions = Sessions(volume.target)
        self._admission = Admission(self._sessions, spec.patience, shared=spec.shared, timer=timer)
        self._gate = Gate(Throttle(clock), timer)
        self._pool = Pool()
        self._shared = Shared(
            target=volume.target,
            executor=Executor(volume.unit, volume.device),
            pool=self._pool,
            admission=self._admission,
            sessions=self._sessions,
            management=TaskManagement(volume.target, self._sessions),
            gate=self._gate,
            timer=timer,
        )
        self._tsih = itertools.count(1)
        self._lobby: Lobby[Connection] = Lobby()
        self.scrubs = ScrubKeeper(_scrub_file(spec, volume))
        """What the last scrub found, also one of before this start."""
        self._background = Background(self._step)
        self._background.start()

    def _step(self) -> float:
        pause = self._volume.mirror.step()
        self._note_scrub()
        return pause

    def _note_scrub(self) -> None:
        if isinstance(self._volume.mirror, Mirror):
            self.scrubs.note(self._volume.mirror.scrub_status)

    @property
    def mirror(self) -> Mirror:
        """The running array.  A volume that is one bare device has none: see :attr:`store`."""
        mirror = self._volume.mirror
        assert isinstance(mirror, Mirror)
        return mirror

    @property
    def store(self) -> Mirror | BareStore:
        """What lies below the container, or below the initiator's disk where there is none."""
        return self._volume.mirror

    @property
    def volume(self) -> Volume:
        """What is served."""
        return self._volume

    @classmethod
    def open(cls, spec: VolumeSpec, passphrase: SecretBytes | None, derivation_lock: Path) -> "Service":
        """Assemble and unlock; raises TwinlockError with nothing changed."""
        return cls(spec, open_volume(spec, passphrase, derivation_lock))

    def serve(self, sock: socket.socket, first: bytes, peer: str, addresses: Sequence[str] = ()) -> None:
        """Serve a connection in a thread of its own; ``peer`` as :class:`Portal` writes it.

        ``addresses``: the portals to be told of, with their group.
        """
        protocol = self._protocol(Portal.parse(peer).host, addresses)
        connection = Connection(sock, peer, protocol, self._shared)
        self._lobby.enter(connection)
        try:
            threading.Thread(target=self._run, args=(connection, first), name=peer, daemon=True).start()
        except RuntimeError:  # there are too many threads on this machine
            self._lobby.leave(connection)
            sock.close()

    def _protocol(self, host: str, addresses: Sequence[str]) -> TargetConnection:
        return TargetConnection(
            SingleTarget(self.spec, self._allowed, host, addresses),
            random_bytes=secrets.token_bytes,
            tsih=next(self._tsih) % 0xFFFF + 1,
            session_types=[SessionType.NORMAL],
        )

    def _run(self, connection: Connection, first: bytes) -> None:
        try:
            connection.run(first)
        finally:
            self._lobby.leave(connection)

    def status(self) -> VolumeStatus:
        """How the volume is; waits for nobody."""
        sessions = tuple(
            SessionStatus(initiator=info.initiator_name, peer=connection.peer, since=connection.since)
            for connection in self._lobby.all()
            if (info := connection.session) is not None
        )
        failed = tuple(
            FailedLogins(address=each.address, count=each.count, last=each.last)
            for each in self._gate.counts()
        )
        return self._volume.status(self.spec.target, sessions, failed)

    def note_members(self, spec: VolumeSpec) -> None:
        """The members of ``spec`` are those from now on."""
        self.spec = self.spec.model_copy(update=spec.model_dump(include=MEMBERS))
        self._volume = replace(self._volume, spec=self.spec)

    def note_size(self) -> int:
        """The array may have grown: the disk grows with it, and how many sessions are told so."""
        if not self._volume.take_size():
            return 0
        return sum(connection.session is not None for connection in self._lobby.all())

    def close(self) -> None:
        """Tell the sessions, let them finish, flush and mark clean."""
        self._admission.close()
        connections = self._lobby.all()
        for connection in connections:
            connection.request_logout(LOGOUT_SECONDS)
        until = time.monotonic() + LOGOUT_SECONDS
        left = [each for each in connections if not each.wait(max(0.0, until - time.monotonic()))]
        for connection in left:
            connection.abort()
        for connection in left:  # they end side by side
            connection.evict()
        self._pool.close()
        self._background.stop()
        self._note_scrub()
        self._volume.close()
        log.info("volume %s is closed", self.spec.name)


def _scrub_file(spec: VolumeSpec, volume: Volume) -> Path | None:
    return None if spec.scrubs is None else scrub_file(spec.scrubs, UUID(bytes=volume.mirror.uuid))
