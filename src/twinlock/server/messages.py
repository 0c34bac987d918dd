"""What supervisor and worker say to each other; :mod:`twinlock.server.control` carries it.

Every request gets one reply with its number, in the order of the requests, but for :class:`Maintain`,
which is answered when its task is done; events have none.

``PROTOCOL`` counts changes that an older peer would misread: a supervisor adopts
only workers that speak its own number, and tells others to flush and exit.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from twinlock.server.message import Bytes, Message, Passphrase, Secret
from twinlock.server.takeover.facts import Import
from twinlock.server.tasks import Task

PROTOCOL = 4


class Chap(Message):
    """Whom the target lets in (RFC 7143 section 12.1.3); ``mutual`` is how it proves itself in turn."""

    user: str
    secret: Secret
    mutual_user: str | None = None
    mutual_secret: Secret | None = None


class VolumeSpec(Message):
    """What a worker needs to know of its volume; ``block_size`` only where no container tells it."""

    name: str
    members: tuple[str, ...]
    array: UUID | None = None
    encrypted: bool = True
    block_size: int | None = None
    target: str
    chap: Chap | None = None
    patience: float = 10.0
    """Seconds that a session has to answer a ping before a newcomer takes its place."""
    shared: bool = False
    """Several initiators at once, for cluster file systems, which coordinate by reservations."""
    read_only: bool = False
    """Commands that change the medium are refused."""
    discard: bool = True
    """UNMAP is offered, and reaches the members as holes or discards."""
    initiators: tuple[str, ...] = ()
    """The names that may log in; empty: any."""
    networks: tuple[str, ...] = ()
    """The networks (CIDR) that logins may come from; empty: any."""
    reservations: str | None = None
    """Where persistent reservations are kept across restarts; the array's UUID is added to the name.

    None: they are not kept (PTPL_C 0).
    """
    leaving: tuple[str, ...] = ()
    """Of the members, the one that is being replaced."""
    copies: int | None = None
    """With ``leaving``: how many places the array has apart from the additional one of the new member."""
    layout: Literal["array", "bare"] = "array"
    """"bare": one member without an md superblock, served in place."""
    checksums: bool = True
    """Whether new members get checksums, and those that are there are used."""
    resync_minimum: int | None = None
    """Bytes a second that copying in the background gets even while the initiator works; None: as usual."""
    resync_maximum: int | None = None
    """Bytes a second that it takes at most; None: as many as it can."""
    tables: str | None = None
    """The folder for checksums of members that have no room for them."""
    headers: str | None = None
    """The folder for backups of the container's header."""
    scrubs: str | None = None
    """Where the result of the last scrub is kept; the array's UUID is added to the name.  None: it is not."""


MEMBERS = {"members", "leaving", "copies"}
"""What of a :class:`VolumeSpec` changes as members come and go."""


class Hello(Message):
    """Who are you?  Answered with :class:`Identity`."""

    op: Literal["hello"] = "hello"


class Create(Message):
    """Make a volume's members on disk, then end.  Sizes in bytes; answered with :class:`Created`."""

    op: Literal["create"] = "create"
    spec: VolumeSpec
    size: int | None = None
    force: bool
    passphrase: Passphrase | None = None
    iter_time: int | None = None
    custom_target: bool = False
    derivation_lock: str


class Open(Message):
    """Assemble, unlock and be ready to serve.  Answered with :class:`VolumeStatus`."""

    op: Literal["open"] = "open"
    spec: VolumeSpec
    passphrase: Passphrase | None = None
    derivation_lock: str


class Login(Message):
    """Take over a client's socket; ``first`` is what has been read from it.

    ``addresses`` are the portals by which the peer reaches the volume, for SendTargets.
    """

    op: Literal["login"] = "login"
    first: Bytes
    peer: str
    addresses: tuple[str, ...] = ()


class Status(Message):
    """How is the volume?  Answered with :class:`VolumeStatus`."""

    op: Literal["status"] = "status"


class Maintain(Message):
    """Do a task on the volume, in a thread of its own.  Answered with the task's result once it is done.

    A worker without an open volume assembles the array of ``spec`` for it, without unlocking.
    """

    op: Literal["maintain"] = "maintain"
    spec: VolumeSpec
    task: Task
    derivation_lock: str


class Stop(Message):
    """Tell the sessions, flush, mark clean and exit."""

    op: Literal["stop"] = "stop"


Request = Hello | Create | Import | Open | Login | Status | Maintain | Stop


class Identity(Message):
    """Answer to :class:`Hello`."""

    protocol: int
    version: str
    pid: int
    volume: str | None = None
    dumpable: bool
    """PR_GET_DUMPABLE as the kernel has it: False, or a core dump could hold the key."""


class Created(Message):
    """Answer to :class:`Create`; ``size`` is what the initiator will see, in bytes."""

    array: UUID
    size: int
    block_size: int
    copies: bool
    """True if the first build copies one member to the other; False if both are known to be equal."""
    remarks: tuple[str, ...] = ()


class MemberStatus(Message):
    """One member as the mirror sees it."""

    path: str
    state: str
    role: int | None = None
    read_errors: int = 0
    """Blocks that it could not give as they were written, and that were rewritten, since it was added."""
    wrong_checksums: int = 0
    """Blocks whose checksum did not match, since the volume was unlocked."""
    checksums: str | None = None
    """Its checksums are "on", or "rebuilding"; None: it has none."""


class JobStatus(Message):
    """Work in the background: bytes, bytes per second, seconds; None where that is not known yet."""

    kind: str
    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None


class SessionStatus(Message):
    """Who is connected; ``since`` in seconds since the epoch."""

    initiator: str
    peer: str
    since: float


class FailedLogins(Message):
    """Logins from one address that did not prove who they are; ``last`` in seconds since the epoch."""

    address: str
    count: int
    last: float


class VolumeStatus(Message):
    """An open volume.  ``size`` in bytes; ``jobs`` are those under way.

    From ``chap`` to ``networks``: what it was opened with.
    """

    array: UUID
    size: int
    block_size: int
    encrypted: bool
    cipher: str | None = None
    target: str
    clean: bool
    degraded: bool
    members: tuple[MemberStatus, ...]
    replacing: str | None = None
    """The path of the member that goes once another has taken its place."""
    jobs: tuple[JobStatus, ...] = ()
    chap: bool
    mutual_chap: bool
    shared: bool
    read_only: bool
    discard: bool
    initiators: tuple[str, ...]
    networks: tuple[str, ...]
    sessions: tuple[SessionStatus, ...] = ()
    failed_logins: tuple[FailedLogins, ...] = ()


class Event(Message):
    """News from the worker that nobody asked for."""

    kind: str
    text: str


class Envelope(Message):
    """The outermost layer: a numbered request or reply, or an event."""

    id: int = 0
    request: Annotated[Request, Field(discriminator="op")] | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    event: Event | None = None
