"""What the protocol layer asks its owner: which targets there are, and who may use them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twinlock.iscsi.chap import ChapPolicy


def everyone(_initiator_name: str) -> bool:
    """Permits every initiator."""
    return True


@dataclass(frozen=True, slots=True)
class TargetEntry:
    """One target."""

    name: str
    alias: str = ""
    authentication: ChapPolicy | None = None
    available: bool = True
    """False while it cannot be logged in to (a locked volume)."""
    permits: Callable[[str], bool] = everyone
    """Whether an initiator of this name may log in; asked once it has proved what it has to prove."""


class TargetDirectory(Protocol):
    """The targets a connection may ask for."""

    def find(self, target_name: str, /) -> TargetEntry | None:
        """The target of that name."""

    def visible(self, initiator_name: str, /) -> Sequence[tuple[str, Sequence[str]]]:
        """Each target this initiator may see, with its portals as ``host:port,group`` (RFC 7143 13.8)."""
