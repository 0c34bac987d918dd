"""What the portals ask: which targets a peer may see, and which worker a login goes to.

The list of networks is enforced here, before a worker hears of a connection; that of
initiator names by the worker, once the initiator has proved who it is.
"""

import logging
import socket
from collections.abc import Mapping

from twinlock.daemon.volume import ManagedVolume
from twinlock.errors import TwinlockError
from twinlock.iscsi.chap import ChapPolicy
from twinlock.iscsi.login import FirstRequest
from twinlock.server.access import AllowList
from twinlock.server.directory import chap_policy
from twinlock.server.discovery import VisibleTargets, target_addresses
from twinlock.server.listener import Listener
from twinlock.server.messages import Chap, Login
from twinlock.server.portal import Portal
from twinlock.wire.iscsi_codes import LoginStatus

log = logging.getLogger(__name__)


class Gate:
    """The listener's :class:`twinlock.server.listener.Router`."""

    def __init__(self, volumes: Mapping[str, ManagedVolume]) -> None:
        self._volumes = volumes
        self._discovery: ChapPolicy | None = None
        self.listener = Listener(self)

    @property
    def discovery_authentication(self) -> ChapPolicy | None:
        """How those who ask for targets have to prove who they are; None if they need not."""
        return self._discovery

    def require_for_discovery(self, chap: Chap | None) -> None:
        """From now on, discovery takes these credentials, or none."""
        self._discovery = chap_policy(chap)

    def directory(self, reached: Portal, host: str) -> VisibleTargets:
        """Every configured target that lets in somebody at ``host``, locked or not."""
        targets = [(v.table.target_name, _allow_list(v)) for v in self._volumes.values()]
        return VisibleTargets(targets, host, self._addresses(reached))

    def _addresses(self, reached: Portal) -> list[str]:
        return target_addresses(self.listener.portals, reached)

    async def route(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: Portal, reached: Portal
    ) -> LoginStatus | None:
        """Hand a login to the worker of its volume; else the status to refuse with."""
        if request.initiator_name is None or request.target_name is None:
            return LoginStatus.MISSING_PARAMETER
        wanted = request.target_name.lower()
        volume = next((v for v in self._volumes.values() if v.table.target_name == wanted), None)
        if volume is None:
            return LoginStatus.TARGET_NOT_FOUND
        if not _allow_list(volume).permits_address(peer.host):
            return LoginStatus.AUTHORIZATION_FAILURE
        if volume.worker is None:
            return LoginStatus.SERVICE_UNAVAILABLE
        try:
            login = Login(first=first, peer=str(peer), addresses=tuple(self._addresses(reached)))
            await volume.worker.tell(login, client.fileno())
        except TwinlockError as error:
            log.warning("login of %s not handed over: %s", peer, error)
            return LoginStatus.SERVICE_UNAVAILABLE
        return None


def _allow_list(volume: ManagedVolume) -> AllowList:
    return AllowList.of(volume.table.initiators, volume.table.networks)
