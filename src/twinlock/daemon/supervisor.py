"""Owns the configuration and looks after the workers; never holds a volume key."""

import asyncio
import fcntl
import logging
import os
from collections.abc import Sequence
from typing import Any

from pydantic import SecretBytes

import twinlock
from twinlock.daemon.change import Changes
from twinlock.daemon.config import ConfigurationFile
from twinlock.daemon.creation import create_on_disk, plan
from twinlock.daemon.credentials import DISCOVERY, MUTUAL_USER, Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.gate import Gate
from twinlock.daemon.importing import FALLBACK as IMPORTED
from twinlock.daemon.importing import check_members as check_import
from twinlock.daemon.importing import look_or_import
from twinlock.daemon.importing import plan as plan_import
from twinlock.daemon.models import (
    ChapMode,
    ConnectReply,
    CreateReply,
    CreateRequest,
    DiscoveryReply,
    DiscoveryRequest,
    ImportLook,
    ImportReply,
    ImportRequest,
    Login,
    PortalReport,
    Report,
    SettingsReply,
    SettingsRequest,
)
from twinlock.daemon.replacements import follow_replacements
from twinlock.daemon.settings import VolumeTable
from twinlock.daemon.volume import ManagedVolume, chap_mode
from twinlock.daemon.worker_client import WorkerClient
from twinlock.errors import AlreadyServing, NoSuchVolume, NotServing, TwinlockError
from twinlock.server.messages import FailedLogins
from twinlock.server.portal import Portal
from twinlock.server.takeover.facts import Found
from twinlock.server.tasks import CHANGES_MEMBERS, MemberList, MemberReplace, MembersResult, Task

log = logging.getLogger(__name__)


class Supervisor:
    """All volumes of one configuration.  One at a time per state folder."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self._lock_file = -1
        self._file = ConfigurationFile(folders.config_file)
        self._credentials = Credentials(folders.secrets)
        self._volumes: dict[str, ManagedVolume] = {}
        self._gate = Gate(self._volumes)
        self._changes = Changes(self._file, self._credentials)
        self._discovery_chap = False
        self._serving = False
        self._stopping = False
        self._changing = asyncio.Lock()
        self._following: asyncio.Task[None] | None = None
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
        self._discovery_chap = configuration.server.discovery_chap
        for table in configuration.volume:
            self._manage(table)

    def bind(self, portals: Sequence[Portal] | None = None) -> None:
        """Take the portals (those of the configuration by default).

        Raises PortalUnavailable if none can be had, ConfigurationInvalid if discovery lacks its secret.
        """
        configured = [Portal.parse_own(text) for text in self._file.load().server.portals]
        self._apply_discovery()
        self._gate.listener.bind(portals or configured)

    async def start(self) -> None:
        """Adopt the workers that live, unlock what needs no key, and accept initiators."""
        await self._adopt()
        for volume in self._volumes.values():
            volume.start_without_key()
        self._gate.listener.start()
        self._serving = True
        self._following = asyncio.create_task(follow_replacements(self._volumes, self.maintain))

    async def stop(self) -> None:
        """Stop accepting, then close every volume in order, those being made included."""
        self._serving = False
        self._stopping = True
        self._stop_following()
        self._gate.listener.close()
        await self._close_all()
        async with self._changing:  # one that is being made is closed as well
            await self._close_all()

    def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()

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
        self._stop_following()
        self._gate.listener.close()
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
            portals=[
                PortalReport(portal=str(taken.portal), listening=taken.is_listening, reason=taken.reason)
                for taken in self._gate.listener.sockets
            ],
            discovery_chap=self._discovery_mode(),
            failed_discoveries=[
                FailedLogins(address=each.address, count=each.count, last=each.last)
                for each in self._gate.listener.throttle.counts()
            ],
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
        async with self._changing:  # one at a time: each sees the names and targets of those before
            self._refuse_if_stopping()
            return await self._create(request)

    def _refuse_if_stopping(self) -> None:
        if self._stopping:
            raise NotServing(socket=self.folders.api_socket)

    async def _create(self, request: CreateRequest) -> CreateReply:
        # The file as it is now: it may have been edited since the start.
        taken = (*self._file.load().volume, *(volume.configured for volume in self._volumes.values()))
        table = plan(request, taken)
        self._file.extended(table)  # whether it can be added is known before a disk is touched
        created = await create_on_disk(self.folders, table, request)
        table = table.model_copy(
            update={"array": created.array, "block_size": None if table.encrypted else created.block_size}
        )
        self.folders.forget_arrays(table.name)
        self._credentials.discard(table.name)
        mutual = request.chap is ChapMode.MUTUAL
        chap = self._credentials.make(table.name, mutual=mutual) if table.chap else None
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
            chap=chap,
            unlocked=volume.worker is not None,
            reason=reason,
            remarks=created.remarks,
        )

    async def look(self, request: ImportRequest) -> ImportLook:
        """What an import would take over; nothing is changed."""
        async with self._changing:
            self._refuse_if_stopping()
            found, table = await self._look(request)
            return ImportLook(name=table.name, target=table.target_name, found=found)

    async def import_(self, request: ImportRequest) -> ImportReply:
        """Take over what others made; keep configuration and credentials, unlock it if this daemon serves."""
        async with self._changing:
            self._refuse_if_stopping()
            found, table = self._agreed(request) or await self._look(request)
            self._file.extended(table)  # whether it can be added is known before a disk is touched
            agreed = request.model_copy(update={"expected": found})
            await look_or_import(self.folders, agreed, name=table.name, carry_out=True)
            return await self._keep_imported(request, found, table)

    async def _look(self, request: ImportRequest) -> tuple[Found, VolumeTable]:
        check_import(request.members)
        found = await look_or_import(self.folders, request, name=request.name or IMPORTED, carry_out=False)
        return found, plan_import(request, found, self._taken())

    def _agreed(self, request: ImportRequest) -> tuple[Found, VolumeTable] | None:
        """What was shown before; the worker refuses to go on if it finds anything else."""
        found = request.expected
        return None if found is None else (found, plan_import(request, found, self._taken()))

    def _taken(self) -> tuple[VolumeTable, ...]:
        """What is configured, in the file as it is now and in this process."""
        return (*self._file.load().volume, *(volume.configured for volume in self._volumes.values()))

    async def _keep_imported(self, request: ImportRequest, found: Found, table: VolumeTable) -> ImportReply:
        self.folders.forget_arrays(table.name)
        self._credentials.discard(table.name)
        mutual = request.chap is ChapMode.MUTUAL
        chap = self._credentials.make(table.name, mutual=mutual) if table.chap else None
        self._file.add(table)
        volume = self._manage(table)
        opens = self._serving and (request.passphrase is not None or not table.encrypted)
        reason = await self._try_unlock(volume, request.passphrase) if opens else None
        return ImportReply(
            name=table.name,
            target=table.target_name,
            found=found,
            chap=chap,
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

    async def change(self, name: str, request: SettingsRequest) -> SettingsReply:
        """Change the settings of a volume; they count from its next unlock on."""
        async with self._changing:
            volume = self.find(name)
            chap = self._changes.apply(volume, request)
            return SettingsReply(
                name=name,
                settings=volume.next_settings(),
                waits=volume.change_waits or (volume.is_in_use and request.new_secrets),
                chap=chap,
            )

    async def change_discovery(self, request: DiscoveryRequest) -> DiscoveryReply:
        """Change how those who ask for targets prove who they are; this counts at once."""
        async with self._changing:
            mode, chap = self._changes.apply_to_discovery(self._discovery_mode(), request)
            self._discovery_chap = mode is not ChapMode.NONE
            self._apply_discovery()
            return DiscoveryReply(chap=mode, credentials=chap)

    async def maintain(self, name: str, task: Task) -> dict[str, Any]:
        """Have a task done on a volume; if that changes who its members are, the configuration follows."""
        volume = self.find(name)
        self._refuse_if_stopping()
        self._file.find(name)  # whether it can follow is known before a disk is touched
        if not self._serving:
            await volume.adopt()  # a worker that outlived its supervisor
        changes = isinstance(task, CHANGES_MEMBERS)
        work = asyncio.ensure_future(
            self._change_members(volume, task) if changes else self._maintain(volume, task)
        )
        # What changes the members is done, and written down, also if nobody waits for it any more.
        return await (asyncio.shield(work) if changes else work)

    async def _change_members(self, volume: ManagedVolume, task: Task) -> dict[str, Any]:
        """One at a time: each starts from the members that the one before left, as the file has them."""
        async with volume.changing_members:
            return await self._maintain(volume, task)

    async def _maintain(self, volume: ManagedVolume, task: Task) -> dict[str, Any]:
        try:
            announced = isinstance(task, MemberReplace) and await self._announce(volume, task)
            try:
                result = await volume.maintain(task)
            except TwinlockError:
                if announced:
                    async with self._changing:
                        self._changes.withdraw(volume)
                raise
            async with self._changing:
                self._changes.take_members(volume, result)
            return result
        finally:
            if not self._serving:
                volume.leave()

    async def _announce(self, volume: ManagedVolume, task: MemberReplace) -> bool:
        """False if a member is being replaced already: that is what the file has to say then."""
        if volume.configured.leaving:
            return False
        found = MembersResult.model_validate(await volume.maintain(MemberList()))
        async with self._changing:
            self._changes.announce(volume, task, found.places)
        return True

    def _discovery_mode(self) -> ChapMode:
        return chap_mode(self._discovery_chap, mutual=self._credentials.mutual_user(DISCOVERY) is not None)

    def _apply_discovery(self) -> None:
        self._gate.require_for_discovery(self._credentials.load(DISCOVERY) if self._discovery_chap else None)

    def connect(self, name: str) -> ConnectReply:
        """What an initiator has to be told to use a volume."""
        volume = self.find(name)
        table, chap = volume.table, volume.settings().chap
        return ConnectReply(
            name=name,
            target=table.target_name,
            portals=[str(portal) for portal in self._gate.listener.portals] or self._waiting(),
            login=self._login(name, chap),
            discovery=self._login(DISCOVERY, self._discovery_mode()),
            shared=table.shared,
            read_only=table.read_only,
            waits=volume.change_waits,
        )

    def _waiting(self) -> list[str]:
        return [str(waiting.portal) for waiting in self._gate.listener.sockets]

    def _login(self, name: str, chap: ChapMode) -> Login | None:
        if chap is ChapMode.NONE:
            return None
        mutual = chap is ChapMode.MUTUAL
        return Login(
            user=self._credentials.user(name) or name.strip("_"),
            mutual_user=(self._credentials.mutual_user(name) or MUTUAL_USER) if mutual else None,
            secret_file=str(self._credentials.path(name)),
        )

    def _manage(self, table: VolumeTable) -> ManagedVolume:
        volume = ManagedVolume(table, self.folders, self._credentials, self._patience)
        self._volumes[table.name] = volume
        return volume
