"""What the API takes and gives.  Sizes in bytes, times in seconds since the epoch."""

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from twinlock.server.message import Passphrase
from twinlock.server.messages import Chap, FailedLogins, VolumeStatus
from twinlock.server.takeover.facts import Found
from twinlock.server.tasks import ScrubStatus


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", defer_build=True)  # see twinlock.server.message.Message


class _Asked(_Model):
    """What FastAPI reads: it hushes what pydantic says of its fields, but only while it makes them."""

    model_config = ConfigDict(defer_build=False)


class VolumeState(StrEnum):
    """Where a volume is in its life."""

    LOCKED = "locked"
    UNLOCKING = "unlocking"
    UNLOCKED = "unlocked"
    FAILED = "failed"


class ChapMode(StrEnum):
    """How an initiator proves who it is."""

    NONE = "none"
    AUTO = "auto"
    """By a user and a secret that twinlock makes."""
    MUTUAL = "mutual"
    """And the target proves itself in turn, with a second pair, to initiators that ask for it."""


class VolumeSettings(_Model):
    """What can be changed about a volume at any time; see docs/configuration.md."""

    chap: ChapMode
    shared: bool
    read_only: bool
    discard: bool
    resync_minimum: str = "10M"
    resync_maximum: str = "unlimited"
    initiators: list[str]
    networks: list[str]


class VolumeReport(_Model):
    """One volume; ``open`` only while it is unlocked, ``reason`` only where something is wrong."""

    name: str
    state: VolumeState
    target: str
    encrypted: bool
    chap_user: str | None
    members: list[str]
    settings: VolumeSettings
    """Those in force: while it is unlocked, what it was unlocked with."""
    next_settings: VolumeSettings | None = None
    """Those that count from the next unlock on, if they are others."""
    secrets_wait: bool = False
    """True if new CHAP secrets count from the next unlock on."""
    reason: str | None = None
    last_scrub: ScrubStatus | None = None
    """The last one that came to an end, and what it found; None if none is known."""
    open: VolumeStatus | None = None


class PortalReport(_Model):
    """One portal; ``reason`` says why it does not listen, while it is tried again."""

    portal: str
    listening: bool
    reason: str | None = None


class Report(_Model):
    """The daemon and all its volumes."""

    version: str
    portals: list[PortalReport]
    volumes: list[VolumeReport]
    discovery_chap: ChapMode
    failed_discoveries: list[FailedLogins]
    """Peers that did not know the secret of discovery."""


class CreateRequest(_Asked):
    """A volume to make; ``size`` is that of a member, and needed only for files that do not exist yet."""

    name: str
    members: list[str]
    size: int | None = None
    passphrase: Passphrase | None = None
    encrypted: bool = True
    block_size: Literal[512, 4096] | None = None
    target: str | None = None
    chap: ChapMode = ChapMode.AUTO
    shared: bool = False
    read_only: bool = False
    discard: bool = True
    checksums: bool = True
    initiators: list[str] = []
    networks: list[str] = []
    force: bool = False
    iter_time: int | None = None


class CreateReply(_Model):
    """The volume made; the CHAP secrets are shown this once."""

    name: str
    target: str
    array: UUID
    size: int
    block_size: int
    copies: bool
    chap: Chap | None
    unlocked: bool
    reason: str | None
    """Why it does not open, if it does not."""
    remarks: tuple[str, ...] = ()


class ImportRequest(_Asked):
    """What others made, to be looked at or taken over; ``expected`` is what was shown to who agreed."""

    members: list[str]
    name: str | None = None
    expected: Found | None = None
    passphrase: Passphrase | None = None
    """To be tried before anything is written."""
    chap: ChapMode = ChapMode.AUTO
    read_only: bool = False


class ImportLook(_Model):
    """What would be taken over, under which names; nothing was written."""

    name: str
    target: str
    found: Found


class ImportReply(_Model):
    """The volume taken over; the CHAP secrets are shown this once."""

    name: str
    target: str
    found: Found
    chap: Chap | None
    unlocked: bool
    reason: str | None
    """Why it does not open, if it does not."""


class SettingsRequest(_Asked):
    """What shall be otherwise; None: as it is.  Lists take the place of those before."""

    chap: ChapMode | None = None
    new_secrets: bool = False
    shared: bool | None = None
    read_only: bool | None = None
    discard: bool | None = None
    resync_minimum: str | None = None
    resync_maximum: str | None = None
    initiators: list[str] | None = None
    networks: list[str] | None = None


class SettingsReply(_Model):
    """The settings from the next unlock on; ``chap`` only with secrets that were made now."""

    name: str
    settings: VolumeSettings
    waits: bool
    """True if the volume is unlocked, and with others than these, or with other secrets."""
    chap: Chap | None = None


class DiscoveryRequest(_Asked):
    """What shall be otherwise about discovery; None: as it is."""

    chap: ChapMode | None = None
    new_secrets: bool = False


class DiscoveryReply(_Model):
    """How discovery is asked for; ``credentials`` only with secrets that were made now."""

    chap: ChapMode
    credentials: Chap | None = None


class UnlockRequest(_Asked):
    """The passphrase; none for a volume without encryption."""

    passphrase: Passphrase | None = None


class Login(_Model):
    """What to log in with; the secrets are in the file."""

    user: str
    mutual_user: str | None
    secret_file: str


class ConnectReply(_Model):
    """What an initiator has to be told."""

    name: str
    target: str
    portals: list[str]
    login: Login | None
    discovery: Login | None
    shared: bool
    read_only: bool
    waits: bool
    """True if settings or secrets were changed since it was unlocked: they count from the next unlock on."""


class ErrorReply(_Model):
    """A :class:`twinlock.errors.TwinlockError`."""

    name: str
    sentence: str
    exit_code: int
    context: dict[str, str]
