"""What there is to say about the members of an open volume, or of a locked one without changing it."""

import os
from dataclasses import asdict
from uuid import UUID

from twinlock.block.mirror import status
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.reconcile import Plan, Verdict
from twinlock.block.mirror.superblock import TIME_MASK
from twinlock.errors import NoMemberUsable, TwinlockError
from twinlock.server.maintenance.context import Context
from twinlock.server.tasks import JobFacts, MemberFacts, MembersResult
from twinlock.server.volume import judge_configured, lacks_copies
from twinlock.units import SECTOR

STATES = {
    Verdict.IN_SYNC: "in sync",
    Verdict.CATCH_UP: "to be caught up",
    Verdict.CONTINUE: "rebuilding",
    Verdict.REBUILD: "to be filled",
    Verdict.SPARE: "spare",
    Verdict.DIVERGED: "ran apart",
    Verdict.OTHER_ARRAY: "of another array",
}
"""What a start would make of a member."""


def list_members(context: Context) -> MembersResult:
    """The members as the running array has them; of a locked volume as their superblocks say."""
    context.refuse_bare()
    running = context.running
    if running is None:
        return _at_rest(context)
    array = running.status()
    present = {member.path for member in array.members}
    lacking = iter([path for path in context.spec.members if path not in present])
    return MembersResult(
        array=str(UUID(bytes=array.uuid)),
        size=array.size,
        places=array.places,
        open=context.service is not None,
        degraded=lacks_copies(array),
        replacing=array.replacing,
        found=(
            *[_facts(member, member.path or next(lacking, "(no disk)"), context) for member in array.members],
            *[_unused(path, context) for path in lacking],
        ),
        jobs=tuple(JobFacts(**asdict(job)) for job in array.jobs),
    )


def _unused(path: str, context: Context) -> MemberFacts:
    """One that is configured, and that the array does not wait for."""
    name = context.spec.name
    if path in context.spec.leaving:
        return MemberFacts(path=path, state="replaced", reason="it can be taken away")
    reason = f"it takes no part; to forget it: twinlock member remove {name} {path}"
    return MemberFacts(path=path, state="not there", reason=reason)


def _facts(member: status.MemberStatus, path: str, context: Context) -> MemberFacts:
    uuid = member.device_uuid
    return MemberFacts(
        path=path,
        state=member.state,
        role=member.role,
        device_uuid=None if uuid is None else str(UUID(bytes=uuid)),
        dev_number=member.dev_number,
        read_errors=member.corrected_reads,
        wrong_checksums=member.wrong_checksums,
        checksums=member.checksums,
        write_mostly=member.write_mostly,
        reason=member.error or _lost_name(member, path) or _unwritten(member, path, context),
    )


def _lost_name(member: status.MemberStatus, path: str) -> str | None:
    """A file that is open stays, whatever becomes of its name: nobody notices before the next start."""
    if member.path is None or os.path.lexists(path):
        return None
    return "used until the volume is locked, but nothing has this name any more: it will be missing then"


def _unwritten(member: status.MemberStatus, path: str, context: Context) -> str | None:
    """A crash came between the disks and the configuration."""
    if member.path is None or path in context.spec.members:
        return None
    return f"the configuration lacks it; to keep it: twinlock member add {context.spec.name} {path}"


def _at_rest(context: Context) -> MembersResult:
    members, lacking = context.take_members()
    if not members:
        raise NoMemberUsable(name=context.spec.name, reason="; ".join(map(str, lacking.values())))
    plan, account = _judged(members, context)
    best = members[plan.freshest if plan else 0].superblock.header
    in_sync = len(plan.having(Verdict.IN_SYNC)) if plan else 0
    replaced = context.spec.leaving if context.spec.copies == best.raid_disks - 1 else ()
    return MembersResult(
        array=str(UUID(bytes=best.set_uuid)),
        size=best.size * SECTOR,
        places=best.raid_disks,
        open=False,
        degraded=in_sync < best.raid_disks - len(replaced),
        account=account,
        replacing=next(iter(replaced), None),
        found=(
            *(_from_disk(member, plan, number) for number, member in enumerate(members)),
            *(MemberFacts(path=path, state="missing", reason=str(why)) for path, why in lacking.items()),
        ),
    )


def _judged(members: list[Member], context: Context) -> tuple[Plan | None, str | None]:
    """What a start would decide; or why it would refuse."""
    try:
        return judge_configured(members, context.spec).plan, None
    except TwinlockError as error:
        return None, str(error)


def _from_disk(member: Member, plan: Plan | None, number: int) -> MemberFacts:
    header = member.superblock.header
    return MemberFacts(
        path=member.path,
        state=STATES[plan.verdicts[number]] if plan else "not decided",
        role=plan.roles[number] if plan else member.superblock.role,
        device_uuid=str(UUID(bytes=header.device_uuid)),
        dev_number=header.dev_number,
        events=header.events,
        updated=float(header.utime & TIME_MASK),
        size=member.device.size,
        read_errors=header.cnt_corrected_read,
        write_mostly=member.superblock.write_mostly,
    )
