"""Owns the configuration and looks after the workers; never holds a volume key."""

import asyncio
import fcntl
import logging
import os
import socket
from collections.abc import Sequence

from pydantic import SecretBytes

import twinlock
from twinlock.daemon.config import ConfigurationFile, VolumeTable, check_name, check_target
from twinlock.daemon.credentials import Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ConnectReply, CreateReply, CreateRequest, Report
from twinlock.daemon.volume import ManagedVolume
from twinlock.daemon.worker_client import WorkerClient
from twinlock.errors import (
    AlreadyServing,
    BadOption,
    MemberNamedTwice,
    NoSuchVolume,
    NotServing,
    PassphraseUnusable,
    TargetNameInvalid,
    TwinlockError,
    VolumeExists,
)
from twinlock.iscsi.login import FirstRequest
from twinlock.server.directory import DiscoveryDirectory
from twinlock.server.listener import Listener
from twinlock.server.messages import Create, Created, Login, VolumeSpec
from twinlock.server.portal import Portal
from twinlock.wire.iscsi_codes import LoginStatus

MAX_MEMBERS = 2
log = logging.getLogger(__name__)


class Supervisor:
    """All volumes of one configuration.  One at a time per state folder."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._lock_file = -1
        self._file = ConfigurationFile(folders.config_file)
        self._credentials = Credentials(folders.secrets)
        self._volumes: dict[str, ManagedVolume] = {}
        self._listener = Listener(self)
        self._serving = False
        self._stopping = False
        self._creating = asyncio.Lock()
        self._patience = 10.0

    # -- life -------------------------------------------------------------------------------------

    def claim(self) -> None:
        """Take the folders and read the configuration; raises AlreadyServing, ConfigurationInvalid."""
        configuration = self._file.load()
        self.folders.make()
        descriptor = os.open(self.folders.state_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise AlreadyServing(folder=self.folders.state) from error
        self._lock_file = descriptor
        self._patience = configuration.server.patience
        for table in configuration.volume:
            self._manage(table)

    def bind(self, portals: Sequence[Portal] | None = None) -> None:
        """Take the portals (those of the configuration by default); raises PortalUnavailable."""
        configured = [Portal.parse(text) for text in self._file.load().server.portals]
        self._listener.bind(portals or configured)

    async def start(self) -> None:
        """Adopt the workers that live, unlock what needs no key, and accept initiators."""
        await self._adopt()
        for volume in self._volumes.values():
            volume.start_without_key()
        self._listener.start()
        self._serving = True

    async def stop(self) -> None:
        """Stop accepting, then close every volume in order, those being made included."""
        self._serving = False
        self._stopping = True
        self._listener.close()
        await self._close_all()
        async with self._creating:  # one that is being made is closed as well
            await self._close_all()

    async def _close_all(self) -> None:
        await asyncio.gather(*(self._close(volume) for volume in self._volumes.values()))

    async def _close(self, volume: ManagedVolume) -> None:
        try:
            await volume.lock()
        except Exception as error:
            log.error("volume %s did not close in order: %s", volume.table.name, error)

    def leave(self) -> None:
        """Stop accepting and let the workers serve on, for the next supervisor to adopt."""
        self._serving = False
        self._listener.close()
        for volume in self._volumes.values():
            volume.leave()

    def release(self) -> None:
        """Give the folders back."""
        if self._lock_file >= 0:
            os.close(self._lock_file)
            self._lock_file = -1

    async def _adopt(self) -> None:
        names = [path.stem for path in self.folders.workers.glob("*.sock")]
        await asyncio.gather(*(self._adopt_one(name) for name in names))

    async def _adopt_one(self, name: str) -> None:
        volume = self._volumes.get(name)
        try:
            await (self._dismiss(name) if volume is None else volume.adopt())
        except TwinlockError as error:
            log.error("a worker was left behind: %s", error)

    async def _dismiss(self, name: str) -> None:
        """A worker whose volume is no longer configured flushes and ends."""
        path = self.folders.workers / f"{name}.sock"
        worker = await WorkerClient.adopt(name, path, self.folders.log_file(name), lambda _worker: None)
        if worker is not None:
            log.warning("volume %s is not configured any more; its worker ends", name)
            await worker.stop()

    # -- what the API asks ------------------------------------------------------------------------

    async def report(self) -> Report:
        """The daemon and all its volumes."""
        return Report(
            version=twinlock.__version__,
            portals=[str(portal) for portal in self._listener.portals],
            volumes=await asyncio.gather(*(volume.report() for volume in self._volumes.values())),
        )

    def find(self, name: str) -> ManagedVolume:
        """The volume of that name; raises NoSuchVolume."""
        try:
            return self._volumes[name]
        except KeyError:
            raise NoSuchVolume(name=name) from None

    async def unlock(self, name: str, passphrase: SecretBytes | None) -> ManagedVolume:
        """Open a volume; raises what its worker raises."""
        volume = self.find(name)
        self._refuse_if_stopping()
        await volume.unlock(passphrase)
        return volume

    async def create(self, request: CreateRequest) -> CreateReply:
        """Make a volume on disk, keep configuration and credentials, unlock it if this daemon serves."""
        async with self._creating:  # one at a time: each sees the names and targets of those before
            self._refuse_if_stopping()
            return await self._create(request)

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise NotServing(socket=self.folders.api_socket)

    async def _create(self, request: CreateRequest) -> CreateReply:
        table = self._plan(request)
        created = await self._create_on_disk(table, request)
        table = table.model_copy(
            update={"array": created.array, "block_size": None if table.encrypted else created.block_size}
        )
        chap = self._credentials.make(table.name) if table.chap else None
        self._file.add(table)
        volume = self._manage(table)
        reason = await self._try_unlock(volume, request.passphrase) if self._serving else None
        return CreateReply(
            name=table.name,
            target=table.target_name,
            array=created.array,
            size=created.size,
            block_size=created.block_size,
            copies=created.copies,
            chap_user=chap.user if chap else None,
            chap_secret=chap.secret if chap else None,
            unlocked=volume.worker is not None,
            reason=reason,
        )

    async def _try_unlock(self, volume: ManagedVolume, passphrase: SecretBytes | None) -> str | None:
        """Why the new volume does not open, if so: it is made all the same, and its secret is told."""
        try:
            await volume.unlock(passphrase)
        except TwinlockError as error:
            return str(error)
        return None

    def connect(self, name: str) -> ConnectReply:
        """What an initiator has to be told to use a volume."""
        table = self.find(name).table
        return ConnectReply(
            name=name,
            target=table.target_name,
            portals=[str(portal) for portal in self._listener.portals],
            chap_user=self._credentials.user(name) if table.chap else None,
            secret_file=str(self._credentials.path(name)) if table.chap else None,
        )

    def _plan(self, request: CreateRequest) -> VolumeTable:
        """The configuration of a volume to be made; raises for what cannot be, before any disk is touched."""
        check_name(request.name)
        configured = self._file.load().volume  # as it is now: it may have been edited since the start
        if request.name in {*self._volumes, *(volume.name for volume in configured)}:
            raise VolumeExists(name=request.name)
        if request.target is not None:
            check_target(request.target)
        if not 1 <= len(request.members) <= MAX_MEMBERS:
            raise BadOption(option="MEMBER", reason=f"name one or two members, not {len(request.members)}")
        twice = next((path for path in request.members if request.members.count(path) > 1), None)
        if twice is not None:
            raise MemberNamedTwice(path=twice, other=twice)
        _check_passphrase(request)
        table = VolumeTable(
            name=request.name,
            members=tuple(request.members),
            target=request.target,
            chap=request.chap,
            encrypted=request.encrypted,
        )
        in_use = (*configured, *(volume.table for volume in self._volumes.values()))
        if any(volume.target_name == table.target_name for volume in in_use):
            raise TargetNameInvalid(name=table.target_name, reason="another volume has it")
        self._file.extended(table)  # whether it can be added is known before a disk is touched
        return table

    async def _create_on_disk(self, table: VolumeTable, request: CreateRequest) -> Created:
        """In a worker of its own, so that the new volume key never enters this process."""
        job = f"{table.name}.create"
        path = self.folders.workers / job
        worker = await WorkerClient.start(
            table.name, path, self.folders.log_file(table.name), lambda _worker: None
        )
        try:
            return await worker.ask(
                Create(
                    spec=_bare_spec(table, request.block_size),
                    size=request.size,
                    force=request.force,
                    passphrase=request.passphrase,
                    iter_time=request.iter_time,
                    custom_target=request.target is not None,
                    derivation_lock=str(self.folders.derivation_lock),
                ),
                Created,
            )
        finally:
            worker.leave()
            path.unlink(missing_ok=True)

    def _manage(self, table: VolumeTable) -> ManagedVolume:
        volume = ManagedVolume(table, self.folders, self._credentials, self._patience)
        self._volumes[table.name] = volume
        return volume

    # -- what the listener asks -------------------------------------------------------------------

    def directory(self, portal: str) -> DiscoveryDirectory:
        """Every configured target, for discovery."""
        return DiscoveryDirectory(
            lambda: [volume.table.target_name for volume in self._volumes.values()], portal
        )

    async def route(
        self, request: FirstRequest, client: socket.socket, first: bytes, peer: str
    ) -> LoginStatus | None:
        """Hand a login to the worker of its volume; else the status to refuse with."""
        if request.initiator_name is None or request.target_name is None:
            return LoginStatus.MISSING_PARAMETER
        wanted = request.target_name.lower()
        volume = next((v for v in self._volumes.values() if v.table.target_name == wanted), None)
        if volume is None:
            return LoginStatus.TARGET_NOT_FOUND
        if volume.worker is None:
            return LoginStatus.SERVICE_UNAVAILABLE
        try:
            await volume.worker.tell(Login(first=first, peer=peer), client.fileno())
        except TwinlockError as error:
            log.warning("login of %s not handed over: %s", peer, error)
            return LoginStatus.SERVICE_UNAVAILABLE
        return None


def _bare_spec(table: VolumeTable, block_size: int | None) -> VolumeSpec:
    return VolumeSpec(
        name=table.name,
        members=table.members,
        encrypted=table.encrypted,
        block_size=block_size,
        target=table.target_name,
    )


def _check_passphrase(request: CreateRequest) -> None:
    if request.encrypted and request.passphrase is None:
        raise PassphraseUnusable(reason="none was given")
    if not request.encrypted and request.passphrase is not None:
        raise BadOption(option="--no-encryption", reason="a volume without encryption has no passphrase")
