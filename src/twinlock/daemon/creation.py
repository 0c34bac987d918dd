"""A volume to be made: what can be refused is refused here, before any disk is touched."""

from collections.abc import Collection

from twinlock.daemon.folders import Folders
from twinlock.daemon.models import ChapMode, CreateRequest
from twinlock.daemon.names import check_lists, check_name, check_target
from twinlock.daemon.settings import VolumeTable, parse_rate
from twinlock.daemon.worker_client import WorkerClient
from twinlock.errors import BadOption, MemberNamedTwice, PassphraseUnusable, TargetNameInvalid, VolumeExists
from twinlock.server.messages import Create, Created, VolumeSpec

MAX_MEMBERS = 3
"""Copies that a volume is made with; more come by ``twinlock member add``."""


def plan(request: CreateRequest, taken: Collection[VolumeTable]) -> VolumeTable:
    """The configuration of a new volume beside those ``taken``; raises what it is refused for."""
    check_name(request.name)
    if request.name in {volume.name for volume in taken}:
        raise VolumeExists(name=request.name)
    if request.target is not None:
        check_target(request.target)
    _check_members(request.members)
    _check_passphrase(request)
    check_lists(request.initiators, request.networks)
    table = VolumeTable(
        name=request.name,
        members=tuple(request.members),
        target=request.target,
        chap=request.chap is not ChapMode.NONE,
        encrypted=request.encrypted,
        shared=request.shared,
        read_only=request.read_only,
        discard=request.discard,
        checksums=request.checksums,
        initiators=tuple(request.initiators),
        networks=tuple(request.networks),
    )
    if any(volume.target_name == table.target_name for volume in taken):
        raise TargetNameInvalid(name=table.target_name, reason="another volume has it")
    return table


def check_rates(minimum: str | None, maximum: str | None) -> None:
    """Raise BadOption for what is no rate; None: it was not asked for."""
    for option, text in (("--resync-minimum", minimum), ("--resync-maximum", maximum)):
        try:
            rate = None if text is None else parse_rate(text)
        except ValueError as error:
            raise BadOption(option=option, reason=f"{error}; write it like 50M") from error
        if text is not None and rate is None and option == "--resync-minimum":
            raise BadOption(option=option, reason="it is a size, such as 10M")


def _check_members(members: list[str]) -> None:
    if not 1 <= len(members) <= MAX_MEMBERS:
        raise BadOption(option="MEMBER", reason=f"name one to three members, not {len(members)}")
    twice = next((path for path in members if members.count(path) > 1), None)
    if twice is not None:
        raise MemberNamedTwice(path=twice, other=twice)


def _check_passphrase(request: CreateRequest) -> None:
    if request.encrypted and request.passphrase is None:
        raise PassphraseUnusable(reason="none was given")
    if not request.encrypted and request.passphrase is not None:
        raise BadOption(option="--no-encryption", reason="a volume without encryption has no passphrase")


async def create_on_disk(folders: Folders, table: VolumeTable, request: CreateRequest) -> Created:
    """In a worker of its own, so that the new volume key never enters this process.

    If nobody waits for the end any more (the task is cancelled), the worker writes nothing.
    """
    path = folders.workers / f"{table.name}.create"
    log_file = folders.log_file(table.name)
    worker = await WorkerClient.start(table.name, path, log_file, lambda _worker: None)
    try:
        return await worker.ask(
            Create(
                spec=_first_spec(table, request.block_size, folders),
                size=request.size,
                force=request.force,
                passphrase=request.passphrase,
                iter_time=request.iter_time,
                custom_target=request.target is not None,
                derivation_lock=str(folders.derivation_lock),
            ),
            Created,
        )
    finally:
        worker.leave()
        path.unlink(missing_ok=True)


def _first_spec(table: VolumeTable, block_size: int | None, folders: Folders) -> VolumeSpec:
    return VolumeSpec(
        name=table.name,
        members=table.members,
        encrypted=table.encrypted,
        block_size=block_size,
        target=table.target_name,
        checksums=table.checksums,
        tables=str(folders.tables),
        headers=str(folders.headers),
    )
