"""What others made becomes a volume: its name, its configuration, and what it must not collide with."""

import os
import re
from collections.abc import Collection
from typing import Literal
from uuid import uuid4

from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ChapMode, ImportRequest
from twinlock.daemon.names import MAX_NAME, check_name, check_target
from twinlock.daemon.settings import VolumeTable
from twinlock.daemon.worker_client import WorkerClient
from twinlock.errors import BadOption, CannotImport, TargetNameInvalid, VolumeExists
from twinlock.server.takeover.facts import Found, Import

FALLBACK = "imported"
_BLOCK_SIZES: dict[int, Literal[512, 4096]] = {512: 512, 4096: 4096}
_STRANGE = re.compile(r"[^a-z0-9]+")


def plan(request: ImportRequest, found: Found, taken: Collection[VolumeTable]) -> VolumeTable:
    """The configuration of the volume beside those ``taken``; raises what it is refused for."""
    _refuse_known(found, taken)
    table = VolumeTable(
        name=_name(request.name, found.label, {volume.name for volume in taken}),
        members=tuple(member.path for member in found.members),
        layout="bare" if found.array is None else "array",
        array=found.identity or uuid4(),
        target=None if found.target is None else check_target(found.target),
        encrypted=found.container is not None,
        block_size=_block_size(found),
        chap=request.chap is not ChapMode.NONE,
        read_only=request.read_only,
    )
    if any(volume.target_name == table.target_name for volume in taken):
        raise TargetNameInvalid(name=table.target_name, reason="another volume has it")
    return table


def proposed_name(label: str, taken: Collection[str]) -> str:
    """A name that a volume may have and none has, after what the array or the container was called."""
    name = _STRANGE.sub("-", label.lower()).strip("-")[:MAX_NAME].strip("-") or FALLBACK
    if name[0].isdigit():
        name = (f"md{name}" if name.isdigit() else f"v-{name}")[:MAX_NAME]  # /dev/md0 has the name 0
    candidates = (name, *(f"{name[: MAX_NAME - 5]}-{number}" for number in range(2, len(taken) + 3)))
    return next(candidate for candidate in candidates if candidate not in taken)


def _name(wanted: str | None, label: str, taken: Collection[str]) -> str:
    if wanted is None:
        return proposed_name(label, taken)
    if check_name(wanted) in taken:
        raise VolumeExists(name=wanted)
    return wanted


def _block_size(found: Found) -> Literal[512, 4096] | None:
    """Only where no container tells it."""
    if found.container is not None:
        return None
    if found.block_size not in _BLOCK_SIZES:
        reason = f"its blocks of {found.block_size} bytes are not 512 or 4096"
        raise CannotImport(path=found.members[0].path, reason=reason)
    return _BLOCK_SIZES[found.block_size]


def _refuse_known(found: Found, taken: Collection[VolumeTable]) -> None:
    """The same disks in two volumes would be a volume that cannot be unlocked, or a copy gone astray."""
    for volume in taken:
        paths = {os.path.realpath(path) for path in volume.members}
        for member in found.members:
            if os.path.realpath(member.path) in paths:
                raise CannotImport(
                    path=member.path, reason=f"it is a member of volume '{volume.name}' already"
                )
        if found.identity is not None and volume.array == found.identity:
            reason = f"volume '{volume.name}' has the same UUID already ({volume.array})"
            raise CannotImport(path=found.members[0].path, reason=reason)


def check_members(members: Collection[str]) -> None:
    """Raise BadOption unless there is something to look at."""
    if not members:
        raise BadOption(option="MEMBER", reason="name the disks or files that make it")


async def look_or_import(folders: Folders, request: ImportRequest, *, name: str, carry_out: bool) -> Found:
    """In a worker of its own, as at a creation: the key that is tried never enters this process."""
    path = folders.workers / f"{name}.import"
    worker = await WorkerClient.start(name, path, folders.log_file(name), lambda _worker: None)
    try:
        return await worker.ask(
            Import(
                members=tuple(request.members),
                name=name,
                carry_out=carry_out,
                expected=request.expected,
                passphrase=request.passphrase,
                derivation_lock=str(folders.derivation_lock),
            ),
            Found,
        )
    finally:
        worker.leave()
        path.unlink(missing_ok=True)
