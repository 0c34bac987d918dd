"""The target that a worker's connections may log in to."""

from collections.abc import Sequence

from twinlock.iscsi.chap import ChapPolicy, Secret
from twinlock.iscsi.directory import TargetEntry
from twinlock.server.access import AllowList
from twinlock.server.messages import Chap, VolumeSpec


class SingleTarget:
    """A worker's directory for one connection: its own volume, nothing else."""

    def __init__(
        self, spec: VolumeSpec, allowed: AllowList, host: str, addresses: Sequence[str] = ()
    ) -> None:
        """``host``: the address the connection comes from; ``addresses``: the portals to be told of."""
        self._addresses = list(addresses)
        near = allowed.permits_address(host)
        self._entry = TargetEntry(
            name=spec.target,
            alias=spec.name,
            authentication=chap_policy(spec.chap),
            available=True,
            permits=lambda initiator_name: near and allowed.permits_name(initiator_name),
        )

    def find(self, target_name: str, /) -> TargetEntry | None:
        """The target of that name (names are compared in lower case, RFC 3722)."""
        return self._entry if target_name.lower() == self._entry.name else None

    def visible(self, _initiator_name: str, /) -> list[tuple[str, list[str]]]:
        """The own target, in answer to SendTargets in a normal session; discovery is the supervisor's."""
        return [(self._entry.name, self._addresses)]


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
