"""What can be done to a volume, open or locked: requests and results, a class each.

The field ``task`` tells the requests apart.  A request with secrets has them as
:data:`~twinlock.server.message.Passphrase`.  A result whose ``members`` is not None is
the list of members that belongs into the configuration from now on.
"""

from typing import Annotated, Literal

from pydantic import Field

from twinlock.block.mirror.scrub_status import ScrubState as ScrubState
from twinlock.block.mirror.scrub_status import ScrubStatus as ScrubStatus
from twinlock.server.key_tasks import (
    HeaderBackup,
    HeaderForget,
    HeaderList,
    HeaderRestore,
    KeyAdd,
    KeyChange,
    KeyList,
    KeyRemove,
    KeyTest,
)
from twinlock.server.message import Message

MOST_MEMBERS = 8
"""Members of one volume, spares included; and so many copies."""


class TaskResult(Message):
    """What came of a task; ``members`` and ``leaving`` only if the configuration has to follow."""

    members: tuple[str, ...] | None = None
    leaving: tuple[str, ...] = ()
    """Of the members, the one that is being replaced: it goes once another has taken its place."""
    copies: int | None = None
    """How many copies the volume keeps beside the one that is being filled; only with ``leaving``."""


# -- members --------------------------------------------------------------------------------------


class MemberList(Message):
    """Which members are there, and how is each?  Answered with :class:`MembersResult`."""

    task: Literal["member-list"] = "member-list"


class MemberAdd(Message):
    """Take in a new member: it fills a free place, or is a spare.  Answered with :class:`MembersResult`.

    ``size`` (bytes) only for a file that is not there yet; None: as large as the array needs.
    """

    task: Literal["member-add"] = "member-add"
    path: str
    size: int | None = None
    force: bool = False


class MemberRemove(Message):
    """Let go of a member that does not hold the only complete copy.  Answered with :class:`MembersResult`."""

    task: Literal["member-remove"] = "member-remove"
    path: str


class MemberFail(Message):
    """Call a member faulty.  Answered with :class:`MembersResult`."""

    task: Literal["member-fail"] = "member-fail"
    path: str


class MemberReplace(Message):
    """Fill ``new`` and let go of ``path`` once it is complete.  Answered with :class:`MembersResult`."""

    task: Literal["member-replace"] = "member-replace"
    path: str
    new: str
    size: int | None = None
    force: bool = False


class MemberStay(Message):
    """No member is being replaced any more: the new one failed.  Answered with :class:`MembersResult`."""

    task: Literal["member-stay"] = "member-stay"


class MemberChoose(Message):
    """Of members that ran apart, go on with ``path``; the others are filled from it."""

    task: Literal["member-choose"] = "member-choose"
    path: str


class MemberFacts(Message):
    """One member.  ``role``: its place in the array; ``path`` as it is configured, or as it was opened."""

    path: str
    state: str
    role: int | None = None
    device_uuid: str | None = None
    dev_number: int | None = None
    events: int | None = None
    updated: float | None = None
    """When its superblock was last written, in seconds since 1970."""
    size: int | None = None
    """Bytes of the whole device or file."""
    read_errors: int = 0
    wrong_checksums: int = 0
    checksums: str | None = None
    """"on", "rebuilding", "lost", or None where there are none."""
    write_mostly: bool = False
    reason: str | None = None
    """Why it is not in use, where it is not."""


class JobFacts(Message):
    """Work in the background: bytes, bytes a second, seconds."""

    kind: str
    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None


class MembersResult(TaskResult):
    """The members after a task.  ``size``: bytes of the array.

    ``places``: how many copies it shall have, and one more while a member is being replaced;
    ``degraded``: one that it shall have is missing or incomplete.
    """

    array: str
    size: int
    places: int
    open: bool
    """False while the volume is locked: then nothing is copied."""
    degraded: bool
    account: str | None = None
    """Why nothing can be used as it is: members ran apart, and what chooses."""
    replacing: str | None = None
    """The path of the member that goes once another is complete."""
    found: tuple[MemberFacts, ...]
    jobs: tuple[JobFacts, ...] = ()


CHANGES_MEMBERS = (MemberAdd, MemberRemove, MemberReplace, MemberStay)
"""Those after which the configuration has to follow."""

# -- growing --------------------------------------------------------------------------------------


class Grow(Message):
    """Make the volume larger, or have it keep more or fewer copies.  Answered with :class:`GrowResult`.

    ``size``: bytes that every member that is a file shall have; None: what the members have already.
    """

    task: Literal["grow"] = "grow"
    size: int | None = None
    copies: int | None = None


class GrowResult(TaskResult):
    """Sizes in bytes: of the array, and of what the initiator sees (None while the volume is locked)."""

    before: int
    array_size: int
    size: int | None
    places: int
    told: int
    """Sessions that were told of the new capacity."""


# -- scrubbing ------------------------------------------------------------------------------------


class ScrubStart(Message):
    """Read every copy from the medium and compare.  Answered with :class:`ScrubResult`."""

    task: Literal["scrub-start"] = "scrub-start"
    repair: bool = False


class ScrubCancel(Message):
    """Stop the scrub.  Answered with :class:`ScrubResult`."""

    task: Literal["scrub-cancel"] = "scrub-cancel"


class ScrubShow(Message):
    """How far is it, or what did the last one find?  Answered with :class:`ScrubResult`."""

    task: Literal["scrub-show"] = "scrub-show"


class ScrubResult(TaskResult):
    """A scrub, running or ended.

    ``rate`` in bytes a second, and ``seconds_left``, only while it runs.
    """

    scrub: ScrubStatus
    rate: float | None = None
    seconds_left: float | None = None


# -- all of them ----------------------------------------------------------------------------------

Task = Annotated[
    MemberList
    | MemberAdd
    | MemberRemove
    | MemberFail
    | MemberReplace
    | MemberStay
    | MemberChoose
    | Grow
    | ScrubStart
    | ScrubCancel
    | ScrubShow
    | HeaderBackup
    | HeaderForget
    | HeaderList
    | HeaderRestore
    | KeyAdd
    | KeyChange
    | KeyList
    | KeyRemove
    | KeyTest,
    Field(discriminator="task"),
]
