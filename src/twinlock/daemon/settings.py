"""The tables of the configuration file: which settings there are, and what each may be."""

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, model_validator

from twinlock.daemon.names import (
    check_initiator,
    check_members,
    check_name,
    check_network,
    check_path,
    check_target,
)
from twinlock.errors import TwinlockError
from twinlock.server.portal import Portal
from twinlock.server.tasks import MOST_MEMBERS
from twinlock.units import parse_size

DEFAULT_PORTAL = "[::]:3260"
TARGET_PREFIX = "iqn.2026-11.io.twinlock:"

MAX_MEMBERS = MOST_MEMBERS
"""Members of one volume, spares and copies more than two included."""
UNLIMITED = "unlimited"

WORDS = {
    "missing": "it is missing",
    "tuple_type": 'it is a list, in brackets: ["...", "..."]',
    "too_short": "it needs at least one",
    "too_long": f"{MAX_MEMBERS} are the most",
    "bool_type": "it is true or false",
    "string_type": "it is text, in quotes",
    "literal_error": "it is 512 or 4096",
    "uuid_parsing": "it is no UUID",
    "model_type": "it is a table; write [server], or [[volume]] for each volume",
    "float_type": "it is a number of seconds",
    "finite_number": "it is a number of seconds",
    "greater_than_equal": "it is at least 1",
    "less_than_equal": "it is at most 600",
}
"""What pydantic's kinds of error mean to a person."""

_T = TypeVar("_T")


def _valid(check: Callable[[Any], Any]) -> AfterValidator:
    def validate(value: _T) -> _T:
        try:
            check(value)
        except TwinlockError as error:
            raise ValueError(str(error)) from error
        return value

    return AfterValidator(validate)


def parse_portals(texts: Sequence[str]) -> list[Portal]:
    """Portals that can all be listened on; raises ValueError."""
    portals = [Portal.parse_own(text) for text in texts]
    if len(set(portals)) < len(portals):
        raise ValueError("the portals must be different")
    for one, other in itertools.permutations(portals, 2):
        if one.port == other.port and one.covers(other):
            raise ValueError(f"{one} is {other} as well; leave one of them away")
    return portals


def parse_rate(text: str) -> int | None:
    """Bytes a second of ``50M``; None for "unlimited".  Raises ValueError."""
    return None if text == UNLIMITED else parse_size(text)


def _least(text: str) -> str:
    if parse_rate(text) is None:
        raise ValueError("it is a size, such as 10M")
    return text


_Path = Annotated[str, _valid(check_path)]
_Portal = Annotated[str, _valid(Portal.parse_own)]
_Initiator = Annotated[str, _valid(check_initiator)]
_Network = Annotated[str, _valid(check_network)]


_Rate = Annotated[str, AfterValidator(lambda text: (parse_rate(text), text)[1])]
_LeastRate = Annotated[str, AfterValidator(_least)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerTable(_Table):
    """``[server]``."""

    portals: Annotated[tuple[_Portal, ...], Field(min_length=1), _valid(parse_portals)] = (DEFAULT_PORTAL,)
    patience: Annotated[float, Field(strict=True, ge=1, le=600)] = 10.0
    """Seconds that a session has to answer a ping before a newcomer takes its place."""
    discovery_chap: StrictBool = False
    """Who asks which targets there are has to prove who it is."""


class VolumeTable(_Table):
    """One ``[[volume]]``."""

    name: Annotated[str, _valid(check_name)]
    members: Annotated[tuple[_Path, ...], Field(min_length=1, max_length=MAX_MEMBERS), _valid(check_members)]
    array: UUID | None = None
    layout: Literal["array", "bare"] = "array"
    """"bare": one member without an array, served in place."""
    target: Annotated[str, _valid(check_target)] | None = None
    chap: StrictBool = True
    encrypted: StrictBool = True
    block_size: Literal[512, 4096] | None = None
    shared: StrictBool = False
    read_only: StrictBool = False
    discard: StrictBool = True
    checksums: StrictBool = True
    """Each member has a checksum for every 4 KiB, where it has room for them."""
    resync_minimum: _LeastRate = "10M"
    """Bytes a second that copying in the background gets while the initiator works."""
    resync_maximum: _Rate = UNLIMITED
    """Bytes a second that it takes at most."""
    leaving: tuple[_Path, ...] = ()
    """Of the members, the one that is being replaced; twinlock notes and forgets it."""
    copies: Annotated[int, Field(strict=True, ge=1, le=MAX_MEMBERS)] | None = None
    """With ``leaving``: how many copies the volume keeps beside the one that is being filled."""
    initiators: tuple[_Initiator, ...] = ()
    networks: tuple[_Network, ...] = ()

    @model_validator(mode="after")
    def _container_tells(self) -> Self:
        if self.encrypted and self.block_size is not None:
            raise ValueError("block_size is only for volumes without encryption; else the container tells it")
        return self

    @model_validator(mode="after")
    def _bare_is_one(self) -> Self:
        if self.layout == "bare" and len(self.members) > 1:
            raise ValueError('layout "bare" is for one member; a mirror has layout "array"')
        return self

    @property
    def target_name(self) -> str:
        """The iSCSI name, given or made from the volume's."""
        return self.target or TARGET_PREFIX + self.name


class Configuration(_Table):
    """The whole file."""

    server: ServerTable = ServerTable()
    volume: tuple[VolumeTable, ...] = ()

    def find(self, name: str) -> VolumeTable | None:
        """The volume of that name."""
        return next((volume for volume in self.volume if volume.name == name), None)
