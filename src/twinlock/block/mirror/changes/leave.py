"""Members that leave: failed by a person, or removed."""

from twinlock.block.mirror.member import Member, MemberState
from twinlock.block.mirror.record import Record
from twinlock.block.mirror.running import Running
from twinlock.errors import DeviceError, MemberNeeded, NoSuchMember


class TakenOut(DeviceError):
    """Nothing is wrong with the member: somebody asked for it to be called faulty."""


def find(record: Record, path: str) -> Member:
    """The member of that path; raises NoSuchMember."""
    for member in record.members:
        if member.path == path:
            return member
    raise NoSuchMember(name=record.common.name.rpartition(":")[2], path=path)


def fail_member(running: Running, path: str) -> None:
    """Call a member faulty: all others say so on disk when this returns, and its device is let go of.

    What it holds stays as it is, so that it can be added again and catch up.  Raises NoSuchMember, and
    MemberNeeded for the last one that is complete.
    """
    with running.turn:
        member = find(running.record, path)
        _take_out(running.record, member)
        member.release()


def remove_member(running: Running, path: str) -> None:
    """As :meth:`fail_member`, and the array forgets that there was such a device.

    Its place stays; the number of places is another matter.
    """
    with running.turn:
        member = find(running.record, path)
        _take_out(running.record, member)
        with running.record.lock:
            running.record.members.remove(member)
        member.release()
        member.forget()


def release_failed(record: Record) -> None:
    """Let go of the devices that failed, so that they can be opened, repaired and added again."""
    for member in list(record.members):
        if member.state is MemberState.FAULTY:
            member.release()


def _take_out(record: Record, member: Member) -> None:
    reason = TakenOut("it was taken out by request")
    with record.lock:
        if member.state in (MemberState.IN_SYNC, MemberState.REBUILDING):
            refuse_last(record, member)
            record.flush_without(member)
            record.fail({member: reason})
        elif member.state is MemberState.SPARE:
            with record.change():
                member.state, member.error = MemberState.FAULTY, reason


def refuse_last(record: Record, member: Member) -> None:
    """Raise MemberNeeded if no other member is complete."""
    if record.readers == (member,):
        raise MemberNeeded(path=member.path, reason="no other member is complete")
