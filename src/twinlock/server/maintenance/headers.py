"""Tasks on the container's header: its backups, and how one is put back."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twinlock.errors import ContainerUnsupported, HeaderBackupUnusable, NotPossibleNow
from twinlock.luks.backup import Identity, NoBackup, area_length, backup_of, identify, repaired, restored
from twinlock.luks.container import PROBE_LENGTH, inspect_container
from twinlock.luks.copies import BLOCK
from twinlock.luks.keyslots import list_keyslots
from twinlock.server.container_header import read_leniently, replace_header, settle_header
from twinlock.server.key_tasks import (
    HeaderBackup,
    HeaderForget,
    HeaderList,
    HeaderRestore,
    HeaderResult,
    HeadersResult,
    KeptHeader,
)
from twinlock.server.maintenance.container import Container, container_of
from twinlock.server.maintenance.context import Context
from twinlock.server.message import Message
from twinlock.units import TIB, round_down

_ANY_SIZE = 1024 * TIB


def _list(_: HeaderList, context: Context) -> Message:
    with container_of(context) as container:
        return HeadersResult(kept=tuple(_kept(path) for path in container.store.backups()))


def _backup(_: HeaderBackup, context: Context) -> Message:
    with container_of(context) as container:
        return HeadersResult(kept=(_kept(_keep_now(container)),))


def _forget(task: HeaderForget, context: Context) -> Message:
    with container_of(context) as container:
        there = {path.name: path for path in container.store.backups()}
        for name in task.names:
            if name not in there:
                raise HeaderBackupUnusable(path=name, reason="there is none of that name")
        now = _keep_now(container)  # first: a header that cannot be read may need what would be deleted
        container.store.forget([there[name] for name in (task.names or there) if there[name] != now])
        return HeadersResult(kept=tuple(_kept(path) for path in container.store.backups()))


def _restore(task: HeaderRestore, context: Context) -> Message:
    with container_of(context, unreadable=True) as container:
        backup, theirs = _examine(task, container.size)
        ours = _present(container)
        _refuse_foreign(task, container, ours, theirs)
        device = container.writable()
        present = b"" if ours is None else settle_header(device, container.store, container.name)
        before = read_leniently(device, max(len(present), len(backup)))
        after = restored(before, backup)
        kept = replace_header(device, container.store, before, after, time.time())
        keys = list_keyslots(after, array_size=device.size).used
        return HeaderResult(uuid=theirs.uuid, keys=tuple(slot.number for slot in keys), before=str(kept))


# -- inside ---------------------------------------------------------------------------------------


def _keep_now(container: Container) -> Path:
    return container.store.keep(backup_of(container.header), time.time())


def _kept(path: Path) -> KeptHeader:
    try:
        content = path.read_bytes()
        identify(content)
        keys = tuple(slot.number for slot in list_keyslots(content, array_size=_ANY_SIZE).used)
    except (OSError, NoBackup) as error:
        return KeptHeader(name=path.name, path=str(path), size=0, keys=(), reason=str(error))
    return KeptHeader(name=path.name, path=str(path), size=len(content), keys=keys)


def _examine(task: HeaderRestore, size: int) -> tuple[bytes, Identity]:
    """The backup in whole blocks, and whose it is; raises HeaderBackupUnusable."""
    try:
        identity = identify(task.content)
        length = area_length(task.content[:PROBE_LENGTH])
        backup = repaired(task.content[:length].ljust(length, b"\0"), array_size=size)
        inspect_container(backup, array_size=size)
    except NoBackup as error:
        raise HeaderBackupUnusable(path=task.source, reason=error) from error
    except ContainerUnsupported as error:
        raise HeaderBackupUnusable(path=task.source, reason=error.context["reason"]) from error
    if length > round_down(size, BLOCK):
        raise HeaderBackupUnusable(path=task.source, reason="it is larger than the volume")
    return backup, identity


def _present(container: Container) -> Identity | None:
    """Whose header is there now; None if that cannot be read any more."""
    try:
        return identify(container.header)
    except (ContainerUnsupported, NoBackup):
        return None


def _refuse_foreign(
    task: HeaderRestore, container: Container, ours: Identity | None, theirs: Identity
) -> None:
    """What does not belong here needs ``force``; under an open volume nothing may change but the keys."""
    if container.context.spec.layout == "bare":
        _refuse_other_disk(task, container, ours, theirs)
    if ours == theirs:
        return
    if container.context.service is not None:
        _refuse_under_open_volume(container, ours, theirs)
        return
    if task.force:
        return
    if ours is not None:
        raise _foreign(task, _difference(ours, theirs))
    known = {identity.uuid for identity in _kept_identities(container)}
    if known and theirs.uuid not in known:
        raise _foreign(task, f"its UUID {theirs.uuid} is none that this volume had")


def _refuse_under_open_volume(container: Container, ours: Identity | None, theirs: Identity) -> None:
    """Its data go on being written with the key it was opened with, whatever ``--force`` says.

    Where the header on the disks can be read no more, only a backup that was kept tells whose it was.
    """
    if ours is not None:
        raise NotPossibleNow(reason=f"the volume is unlocked, and {_difference(ours, theirs)}; lock it first")
    if theirs not in _kept_identities(container):
        reason = (
            "the volume is unlocked, and nothing tells that this is the header of its data; lock it first"
        )
        raise NotPossibleNow(reason=reason)


def _kept_identities(container: Container) -> list[Identity]:
    found = map(_identity, container.store.backups())
    return [identity for identity in found if identity is not None]


def _refuse_other_disk(
    task: HeaderRestore, container: Container, ours: Identity | None, theirs: Identity
) -> None:
    """No superblock says whose a bare disk is, only its container's UUID; one without may be another."""
    expected = str(container.context.spec.array)
    if ours is not None and ours.uuid != expected:
        reason = f"the disk holds container {ours.uuid}, not {expected}; connect the right one"
        raise ContainerUnsupported(reason=reason)
    if theirs.uuid != expected:
        reason = f"it belongs to container {theirs.uuid}, but the volume is of {expected}"
        raise HeaderBackupUnusable(path=task.source, reason=reason)
    if ours is None and not task.force:
        disk = container.context.spec.members[0]
        reason = (
            f"no header can be read on {disk}, and nothing else tells whose it is; if it is right: --force"
        )
        raise HeaderBackupUnusable(path=task.source, reason=reason)


def _foreign(task: HeaderRestore, difference: str) -> HeaderBackupUnusable:
    reason = f"{difference}, so the data would be lost; --force does it all the same"
    return HeaderBackupUnusable(path=task.source, reason=reason)


def _difference(ours: Identity, theirs: Identity) -> str:
    if ours.uuid != theirs.uuid:
        return f"it belongs to container {theirs.uuid}, not to {ours.uuid}"
    if replace(ours, volume_key=theirs.volume_key) == theirs:
        return "it is from before the volume key was changed"
    return "it is of another version, cipher or size than the container"


def _identity(path: Path) -> Identity | None:
    try:
        return identify(path.read_bytes())
    except (OSError, NoBackup):
        return None


HANDLERS: dict[type[Any], Callable[[Any, Context], Message]] = {
    HeaderList: _list,
    HeaderBackup: _backup,
    HeaderRestore: _restore,
    HeaderForget: _forget,
}
