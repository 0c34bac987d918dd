"""The targets a connection may log in to."""

from collections.abc import Callable, Iterable

from twinlock.iscsi.chap import ChapPolicy, Secret
from twinlock.iscsi.directory import TargetEntry
from twinlock.server.messages import Chap, VolumeSpec

PORTAL_GROUP = 1
"""All portals are one group: any of them leads to the same volume (RFC 7143 section 4.3.1)."""


class SingleTarget:
    """A worker's directory: its own volume, nothing else."""

    def __init__(self, spec: VolumeSpec) -> None:
        self._entry = TargetEntry(
            name=spec.target, alias=spec.name, authentication=chap_policy(spec.chap), available=True
        )

    def find(self, target_name: str, /) -> TargetEntry | None:
        """The target of that name (names are compared in lower case, RFC 3722)."""
        return self._entry if target_name.lower() == self._entry.name else None

    def visible(self, _initiator_name: str, /) -> list[tuple[str, list[str]]]:
        """Discovery is the supervisor's."""
        return []


class DiscoveryDirectory:
    """What discovery sees: every volume that is configured, locked or not."""

    def __init__(self, targets: Callable[[], Iterable[str]], portal: str) -> None:
        self._targets = targets
        self._portal = portal

    def find(self, _target_name: str, /) -> TargetEntry | None:
        """Normal sessions are the workers'."""
        return None

    def visible(self, _initiator_name: str, /) -> list[tuple[str, list[str]]]:
        """Every target, at the address the initiator came in by."""
        return [(name, [f"{self._portal},{PORTAL_GROUP}"]) for name in self._targets()]


def chap_policy(chap: Chap | None) -> ChapPolicy | None:
    """The protocol layer's view of a volume's credentials."""
    if chap is None:
        return None
    mutual = chap.mutual_secret.get_secret_value() if chap.mutual_secret else None
    return ChapPolicy(
        user=chap.user,
        secret=Secret(chap.secret.get_secret_value()),
        mutual_user=chap.mutual_user,
        mutual_secret=Secret(mutual) if mutual else None,
    )
