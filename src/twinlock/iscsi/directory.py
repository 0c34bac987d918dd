"""What the protocol layer asks its owner: which targets there are, and who may use them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twinlock.iscsi.chap import ChapPolicy


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """One target.  ``available`` is False while it cannot be logged in to (a locked volume)."""

    name: str
    alias: str = ""
    authentication: ChapPolicy | None = None
    available: bool = True


class TargetDirectory(Protocol):
    """The targets a connection may ask for."""

    def find(self, target_name: str, /) -> TargetEntry | None:
        """The target of that name."""

    def visible(self, initiator_name: str, /) -> Sequence[tuple[str, Sequence[str]]]:
        """Each target this initiator may see, with its portals as ``host:port,group`` (RFC 7143 13.8)."""
