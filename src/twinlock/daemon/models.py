"""What the API takes and gives.  Sizes in bytes, times in seconds since the epoch."""

from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from twinlock.server.messages import Passphrase, Secret, VolumeStatus


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class VolumeState(StrEnum):
    """Where a volume is in its life."""

    LOCKED = "locked"
    UNLOCKING = "unlocking"
    UNLOCKED = "unlocked"
    FAILED = "failed"


class VolumeReport(_Model):
    """One volume; ``open`` only while it is unlocked, ``reason`` only where something is wrong."""

    name: str
    state: VolumeState
    target: str
    encrypted: bool
    chap_user: str | None
    members: list[str]
    reason: str | None = None
    open: VolumeStatus | None = None


class Report(_Model):
    """The daemon and all its volumes."""

    version: str
    portals: list[str]
    volumes: list[VolumeReport]


class CreateRequest(_Model):
    """A volume to make; ``size`` is that of a member, and needed only for files that do not exist yet."""

    name: str
    members: list[str]
    size: int | None = None
    passphrase: Passphrase | None = None
    encrypted: bool = True
    block_size: Literal[512, 4096] | None = None
    target: str | None = None
    chap: bool = True
    force: bool = False
    iter_time: int | None = None


class CreateReply(_Model):
    """The volume made; the CHAP secret is shown this once."""

    name: str
    target: str
    array: UUID
    size: int
    block_size: int
    copies: bool
    chap_user: str | None
    chap_secret: Secret | None
    unlocked: bool
    reason: str | None
    """Why it does not open, if it does not."""


class UnlockRequest(_Model):
    """The passphrase; none for a volume without encryption."""

    passphrase: Passphrase | None = None


class ConnectReply(_Model):
    """What an initiator has to be told."""

    name: str
    target: str
    portals: list[str]
    chap_user: str | None
    secret_file: str | None


class ErrorReply(_Model):
    """A :class:`twinlock.errors.TwinlockError`."""

    name: str
    sentence: str
    exit_code: int
    context: dict[str, str]
