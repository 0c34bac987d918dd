"""Members of an array made by mdadm: judged as at every start of a volume, and described."""

from collections.abc import Sequence
from uuid import UUID

from twinlock.block.file import FileDevice
from twinlock.block.mirror.assembly import Judgement, judge
from twinlock.block.mirror.give_bitmap import give_bitmap, place_for_bitmap
from twinlock.block.mirror.member import Member, read_member
from twinlock.block.mirror.reconcile import Verdict
from twinlock.block.mirror.superblock import Feature
from twinlock.block.signatures import partitions
from twinlock.errors import ArrayUnsupported, CannotImport, MembersDiverged
from twinlock.server.takeover.contents import Source, look_inside
from twinlock.server.takeover.facts import Found, FoundArray, FoundMember
from twinlock.server.takeover.single import NO_ENCRYPTION, NO_MIRROR
from twinlock.units import SECTOR

_STATES = {
    Verdict.IN_SYNC: "in sync",
    Verdict.CATCH_UP: "behind; what it missed is copied",
    Verdict.CONTINUE: "partly filled; the rest is copied",
    Verdict.REBUILD: "out of date; it is filled anew",
    Verdict.SPARE: "spare",
}
NO_PLACE = "an array without an internal bitmap, and without room for one"
_ACTIVE = "It was not stopped in order: regions that may differ are compared and made equal at the unlock."
_ALL_ACTIVE = "It was not stopped in order, and no bitmap says what may differ: everything is compared."
_BITMAP = (
    "It has no write-intent bitmap and gets one, of a few KiB beside its superblock: after a crash only what "
    "was being written is compared then, and not everything."
)


def judge_members(devices: Sequence[FileDevice]) -> tuple[Judgement, bool]:
    """Who is right, and whether the array lacks a bitmap; read-only.

    Raises what :func:`read_member` and :func:`judge` raise, and CannotImport.
    """
    members = [read_member(device, need_bitmap=False) for device in devices]
    for member in members:
        _refuse_whole_disk(member)
    if all(member.superblock.has_bitmap for member in members):
        return _judged(members), False
    array = _judged([_with_place(member) for member in members])
    _refuse_behind(array)
    return array, True


def _judged(members: Sequence[Member]) -> Judgement:
    """As :func:`judge`; of members that ran apart it says what can be done before there is a volume."""
    try:
        return judge(members, expected_uuid=None)
    except MembersDiverged as error:
        choice = (
            "take over the one to go on with by itself (twinlock import MEMBER), then fill another from it, "
            "which loses what only that has: twinlock member add VOLUME OTHER --force"
        )
        raise MembersDiverged(account=error.context["account"], choice=choice) from error


def _with_place(member: Member) -> Member:
    """The member as it will be when it has a bitmap: empty as yet, and only in memory."""
    place = place_for_bitmap(member)
    if place is None:
        raise ArrayUnsupported(path=member.path, feature=NO_PLACE)
    if not member.superblock.has_bitmap:
        features = member.superblock.header.feature_map | int(Feature.BITMAP_OFFSET)
        offset = place[0] // SECTOR % (1 << 32)
        member.superblock = member.superblock.change(feature_map=features, bitmap_offset=offset)
    return member


def _refuse_behind(array: Judgement) -> None:
    """Without a bitmap a member that is behind is filled from the start, as a new one is."""
    for member, verdict in zip(array.members, array.plan.verdicts, strict=True):
        if verdict is not Verdict.IN_SYNC:
            raise CannotImport(
                path=member.path,
                reason=f"it is not in sync ({_STATES[verdict]}), and the array has no bitmap; leave it out, "
                "and add it afterwards: twinlock member add",
            )


def add_bitmap(devices: Sequence[FileDevice], now: int) -> None:
    """Give the array of ``devices``, which was judged, its bitmap; ``now`` in seconds since 1970."""
    members = [read_member(device, need_bitmap=False) for device in devices]
    if not all(member.superblock.has_bitmap for member in members):
        give_bitmap(members, now)


def source_of(array: Judgement) -> Source:
    """The data of the array."""
    member = array.freshest
    block_size = max(each.device.block_size for each in array.members)
    offset = member.superblock.header.data_offset * SECTOR
    return Source(member.path, offset, block_size, array, array.copies)


def look(array: Judgement, *, lacks_bitmap: bool) -> Found:
    """What the array holds; raises CannotImport or ContainerUnsupported."""
    found, inside = _describe(array, lacks_bitmap=lacks_bitmap), look_inside(source_of(array))
    return Found(
        members=tuple(map(_member, array.members, array.plan.verdicts)),
        array=found,
        container=inside.container,
        contents=inside.listing,
        size=inside.size,
        block_size=inside.block_size,
        target=inside.target,
        label=found.name.rpartition(":")[2] or inside.label,
        remarks=(*_remarks(found, encrypted=inside.container is not None), *inside.remarks),
    )


def _describe(array: Judgement, *, lacks_bitmap: bool) -> FoundArray:
    superblock = array.freshest.superblock
    filled = {role for role in array.plan.roles if role is not None}
    return FoundArray(
        uuid=UUID(bytes=superblock.header.set_uuid),
        name=superblock.name,
        metadata=array.freshest.metadata.version,
        places=superblock.header.raid_disks,
        missing=superblock.header.raid_disks - len(filled),
        clean=array.plan.clean,
        bitmap="added" if lacks_bitmap else "there",
    )


def _member(member: Member, verdict: Verdict) -> FoundMember:
    bad = 0 if member.bad_blocks is None else sum(end - start for start, end in member.bad_blocks.bad)
    return FoundMember(path=member.path, size=member.device.size, state=_STATES[verdict], bad_sectors=bad)


def _remarks(found: FoundArray, *, encrypted: bool) -> list[str]:
    said = {
        f"It is degraded: {found.missing} of {found.places} members missing.": found.missing > 0,
        NO_MIRROR: found.places == 1,
        _BITMAP: found.bitmap == "added",
        _ALL_ACTIVE if found.bitmap == "added" else _ACTIVE: not found.clean,
        NO_ENCRYPTION: not encrypted,
    }
    return [remark for remark, applies in said.items() if applies]


def _refuse_whole_disk(member: Member) -> None:
    """A superblock of metadata 0.90 does not say where it lies: the last partition may end as its disk does.

    An array of whole disks has no partition that reaches so far, for its data end before the superblock.
    """
    offset = member.metadata.offset
    for entry in partitions(member.path) if member.metadata.version == "0.90" else ():
        if entry.start <= offset < entry.start + entry.size:
            raise CannotImport(
                path=member.path, reason=f"the array is in its partition {entry.number}; name that instead"
            )
