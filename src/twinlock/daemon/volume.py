"""One configured volume: locked or unlocked, and the worker that has it while it is unlocked."""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretBytes

from twinlock.daemon.credentials import Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ChapMode, VolumeReport, VolumeSettings, VolumeState
from twinlock.daemon.settings import VolumeTable, parse_rate
from twinlock.daemon.worker_client import WorkerClient
from twinlock.errors import PassphraseUnusable, TwinlockError, WorkerFailed
from twinlock.server.last_scrub import last_scrub, scrub_file
from twinlock.server.messages import Maintain, Open, VolumeSpec, VolumeStatus
from twinlock.server.tasks import ScrubStatus, Task

BACK_OFF = (1, 2, 5, 10, 30, 60)
"""Seconds between attempts to start a volume that needs no key; the last one repeats."""

_SETTINGS = ("shared", "read_only", "discard", "initiators", "networks")

log = logging.getLogger(__name__)


class ManagedVolume:
    """Starts, adopts, stops and restarts the worker of one volume."""

    def __init__(
        self, table: VolumeTable, folders: Folders, credentials: Credentials, patience: float
    ) -> None:
        self.configured = table
        """What counts from the next unlock on."""
        self._opened_with = table
        self._opened_chap = ChapMode.NONE
        self._patience = patience
        self.worker: WorkerClient | None = None
        self._folders = folders
        self._credentials = credentials
        self._turn = asyncio.Lock()
        self._tasks = asyncio.Lock()
        self.changing_members = asyncio.Lock()
        """Held until the configuration has followed."""
        self._unlocking = False
        self._closing = False
        self._wanted = False
        self._reason: str | None = None
        self._known: VolumeStatus | None = None
        self._silent_since: float | None = None
        self._restarting: asyncio.Task[None] | None = None

    @property
    def table(self) -> VolumeTable:
        """The settings in force: while the volume is open, those it was opened with."""
        return self._opened_with if self.is_in_use else self.configured

    @property
    def is_in_use(self) -> bool:
        """True while it is unlocked, or about to be."""
        return self.worker is not None or self._unlocking

    @property
    def state(self) -> VolumeState:
        """Where the volume is in its life."""
        if self._unlocking:
            return VolumeState.UNLOCKING
        if self.worker is not None:
            return VolumeState.UNLOCKED
        return VolumeState.FAILED if self._reason else VolumeState.LOCKED

    async def unlock(self, passphrase: SecretBytes | None) -> None:
        """Start a worker and open the volume in it.  Nothing to do if it is open."""
        async with self._turn:
            if self.worker is not None:
                return
            if self.table.encrypted and passphrase is None:
                raise PassphraseUnusable(reason="none was given")
            self._opened_with, self._opened_chap = self.configured, self._configured_chap()
            self._wanted = self._unlocking = True
            try:
                worker = await self._open(passphrase)
                self._reason = None
                self._take(worker)
            finally:
                self._unlocking = False

    async def lock(self) -> None:
        """Close the volume in order.  Nothing to do if it is closed."""
        self._wanted = False
        self._cancel_restart()
        async with self._turn:
            self._reason = None
            if self.worker is not None:
                await self._close(self.worker)

    async def _close(self, worker: WorkerClient) -> None:
        """As long as the worker lives the volume is not locked, whatever was asked."""
        self._closing = True
        try:
            await worker.stop()
        except WorkerFailed as error:
            self._reason = str(error)
            raise
        finally:
            self._closing = False
            if worker.has_ended:
                self.worker = None
                self._socket.unlink(missing_ok=True)

    async def maintain(self, task: Task) -> dict[str, object]:
        """Have a task done by the worker, or, while it is locked, by one that is started for that alone.

        One at a time, and none between a locked volume and its unlocking.
        """
        async with self._tasks:
            if self.worker is None:
                async with self._turn:
                    if self.worker is None:
                        return await self._maintain_locked(task)
            return await self.worker.ask_whatever(self._maintain(task))

    async def _maintain_locked(self, task: Task) -> dict[str, object]:
        """The worker ends with this; if nobody waits for it any more, it writes nothing."""
        path = self._folders.workers / f"{self.table.name}.task"
        worker = await WorkerClient.start(self.table.name, path, self._log_file, lambda _worker: None)
        try:
            return await worker.ask_whatever(self._maintain(task))
        finally:
            worker.leave()
            path.unlink(missing_ok=True)
            await worker.wait_for_end()

    def _maintain(self, task: Task) -> Maintain:
        return Maintain(spec=self._spec(), task=task, derivation_lock=str(self._folders.derivation_lock))

    def note_members(self, change: Mapping[str, Any]) -> None:
        """These are ``members``, ``leaving`` and ``copies`` from now on, locked or not."""
        self.configured = self.configured.model_copy(update=change)
        self._opened_with = self._opened_with.model_copy(update=change)

    async def adopt(self) -> None:
        """Take over the worker of an earlier supervisor, if one lives."""
        self._wanted = True
        worker = await WorkerClient.adopt(self.table.name, self._socket, self._log_file, self._ended)
        if worker is None:
            return
        self._opened_with, self._opened_chap = self.configured, self._configured_chap()
        self._take(worker)
        log.info("adopted worker %d of volume %s", worker.pid, self.table.name)
        status = await self._worker_status()
        if status is not None:
            self._note_how_opened(status)

    def _take(self, worker: WorkerClient) -> None:
        """It is ours from now on; its end may have come before anybody could know whose it is."""
        self.worker = worker
        self._known, self._silent_since = None, None
        if worker.has_ended:
            self._ended(worker)
            raise WorkerFailed(name=self.table.name, reason="it ended at once", log=self._log_file)

    def _note_how_opened(self, status: VolumeStatus) -> None:
        """As an earlier supervisor opened it: the file may have changed since."""
        self._opened_chap = chap_mode(status.chap, mutual=status.mutual_chap)
        told = {key: getattr(status, key) for key in ("target", "chap", *_SETTINGS)}
        self._opened_with = self.configured.model_copy(update=told)

    def leave(self) -> None:
        """Let the worker serve on without a supervisor."""
        self._cancel_restart()
        if self.worker is not None:
            self.worker.leave()

    def start_without_key(self) -> None:
        """Open the volume if no key is needed, again and again until it works."""
        if not self.table.encrypted and self.worker is None and self._restarting is None:
            self._restarting = asyncio.create_task(self._restart())

    async def report(self) -> VolumeReport:
        """How the volume is."""
        status = await self._worker_status()
        table, settings, following = self.table, self.settings(), self.next_settings()
        return VolumeReport(
            name=table.name,
            state=self.state,
            target=table.target_name,
            encrypted=table.encrypted,
            chap_user=self._credentials.user(table.name) if table.chap else None,
            members=list(table.members),
            settings=settings,
            next_settings=None if following == settings else following,
            secrets_wait=self.secrets_wait,
            reason=self._reason or self._silence(),
            last_scrub=self._last_scrub(),
            open=status,
        )

    def _last_scrub(self) -> ScrubStatus | None:
        array = self.table.array
        if array is None:
            return None
        return last_scrub(scrub_file(str(self._folders.scrub_file(self.table.name)), array))

    def settings(self) -> VolumeSettings:
        """What is in force of what can be changed."""
        return _settings(self._opened_with, self._opened_chap) if self.is_in_use else self.next_settings()

    def next_settings(self) -> VolumeSettings:
        """What counts from the next unlock on."""
        return _settings(self.configured, self._configured_chap())

    @property
    def change_waits(self) -> bool:
        """True if something was changed since it was unlocked, and counts from the next unlock on."""
        return self.secrets_wait or self.settings() != self.next_settings()

    @property
    def secrets_wait(self) -> bool:
        """True if it is unlocked, and its CHAP secrets were changed since, by command or by hand.

        A worker's socket is made after the secrets it gets have been read.
        """
        if not (self.is_in_use and self.configured.chap):
            return False
        try:
            changed = self._credentials.path(self.configured.name).stat().st_mtime_ns
            return changed > self._socket.stat().st_mtime_ns
        except OSError:
            return False

    # -- inside -----------------------------------------------------------------------------------

    def _configured_chap(self) -> ChapMode:
        mutual = self._credentials.mutual_user(self.configured.name) is not None
        return chap_mode(self.configured.chap, mutual=mutual)

    @property
    def _socket(self) -> Path:
        return self._folders.worker_socket(self.table.name)

    @property
    def _log_file(self) -> Path:
        return self._folders.log_file(self.table.name)

    async def _worker_status(self) -> VolumeStatus | None:
        """None while it is locked, or if its worker never said how it is.

        A worker that is too busy to answer serves on: then what it said last is told, and that it is old.
        """
        if self.worker is None:
            self._known, self._silent_since = None, None
            return None
        try:
            self._known, self._silent_since = await self.worker.status(), None
        except TwinlockError as error:
            log.warning("no status: %s", error)
            self._silent_since = self._silent_since or time.time()
        return self._known

    def _silence(self) -> str | None:
        """What to say of a worker that does not answer."""
        if self._silent_since is None:
            return None
        when = time.strftime("%H:%M:%S", time.localtime(self._silent_since))
        return (
            f"its worker has not said since {when} how it is (a disk may be slow); its log: {self._log_file}"
        )

    async def _open(self, passphrase: SecretBytes | None) -> WorkerClient:
        request = Open(
            spec=self._spec(), passphrase=passphrase, derivation_lock=str(self._folders.derivation_lock)
        )
        worker = await WorkerClient.start(self.table.name, self._socket, self._log_file, self._ended)
        try:
            await worker.ask(request, VolumeStatus)
        except BaseException:
            worker.abandon()  # also if it goes on opening the volume, which nobody asks for any more
            raise
        return worker

    def _spec(self) -> VolumeSpec:
        return VolumeSpec(
            name=self.table.name,
            members=self.table.members,
            array=self.table.array,
            layout=self.table.layout,
            encrypted=self.table.encrypted,
            block_size=self.table.block_size,
            target=self.table.target_name,
            chap=self._credentials.load(self.table.name) if self.table.chap else None,
            patience=self._patience,
            shared=self.table.shared,
            read_only=self.table.read_only,
            discard=self.table.discard,
            initiators=self.table.initiators,
            networks=self.table.networks,
            reservations=str(self._folders.reservations_file(self.table.name)),
            leaving=self.table.leaving,
            copies=self.table.copies,
            checksums=self.table.checksums,
            resync_minimum=parse_rate(self.table.resync_minimum),
            resync_maximum=parse_rate(self.table.resync_maximum),
            tables=str(self._folders.tables),
            headers=str(self._folders.headers),
            scrubs=str(self._folders.scrub_file(self.table.name)),
        )

    def _ended(self, worker: WorkerClient) -> None:
        """A worker's process is gone; if nobody asked it to go, that is a failure."""
        if worker is not self.worker or self._closing:
            return
        if not self._wanted:  # a lock that took too long for whoever waited has come to its end
            self.worker, self._reason = None, None
            return
        self.worker = None
        self._reason = f"its worker ended unexpectedly; the log is {self._log_file}"
        log.error("volume %s: %s", self.table.name, self._reason)
        self.start_without_key()

    def _cancel_restart(self) -> None:
        if self._restarting is not None:
            self._restarting.cancel()
            self._restarting = None

    async def _restart(self) -> None:
        try:
            for attempt in range(1 << 30):
                try:
                    await self.unlock(None)
                    return
                except (TwinlockError, OSError) as error:
                    self._reason = str(error)
                    log.error("volume %s does not start: %s", self.table.name, error)
                await asyncio.sleep(BACK_OFF[min(attempt, len(BACK_OFF) - 1)])
        finally:
            self._restarting = None


def chap_mode(chap: bool, *, mutual: bool) -> ChapMode:
    """How an initiator proves who it is, in one word."""
    return (ChapMode.MUTUAL if mutual else ChapMode.AUTO) if chap else ChapMode.NONE


def _settings(table: VolumeTable, chap: ChapMode) -> VolumeSettings:
    return VolumeSettings(
        chap=chap,
        shared=table.shared,
        read_only=table.read_only,
        discard=table.discard,
        resync_minimum=table.resync_minimum,
        resync_maximum=table.resync_maximum,
        initiators=list(table.initiators),
        networks=list(table.networks),
    )
