"""Those who have not proved who they are: few at a time, and nobody can crowd out the others.

The newest always gets in.  If there are too many from its address, the one that has
been trying there for longest has to go; if there are too many in all, one from the
address that has most.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

MAX_STRANGERS = 16
"""Connections of a volume that have not logged in."""
MAX_STRANGERS_PER_ADDRESS = 8
"""Of these from one source: an IPv4 address, or an IPv6 /64."""


class Guest(Protocol):
    """A connection, as the lobby sees it."""

    @property
    def source(self) -> str:
        """Where it comes from, see :func:`twinlock.server.throttle.Throttle.source`."""

    @property
    def is_stranger(self) -> bool:
        """True until the initiator has proved who it is, or the connection ends."""

    def abort(self) -> None:
        """Cut the connection."""


G = TypeVar("G", bound=Guest)


class Lobby(Generic[G]):
    """Every connection of a volume, or to the portals, from its first byte to its end."""

    def __init__(self, most: int = MAX_STRANGERS, most_per_source: int = MAX_STRANGERS_PER_ADDRESS) -> None:
        """``most``: strangers at a time, in all and from one source."""
        self._most = most
        self._most_per_source = most_per_source
        self._lock = threading.Lock()
        self._guests: dict[G, None] = {}  # oldest first

    def enter(self, guest: G) -> None:
        """A connection has come; one of the strangers may have to go."""
        with self._lock:
            strangers = [known for known in self._guests if known.is_stranger]
            self._guests[guest] = None
        leaving = self._one_too_many(strangers, guest.source)
        if leaving is not None:
            leaving.abort()

    def leave(self, guest: G) -> None:
        """The connection has ended."""
        with self._lock:
            self._guests.pop(guest, None)

    def all(self) -> list[G]:
        """Every connection, oldest first."""
        with self._lock:
            return list(self._guests)

    def _one_too_many(self, strangers: Sequence[G], source: str) -> G | None:
        """Who has to go if one more comes from ``source``."""
        counts = Counter(stranger.source for stranger in strangers)
        if counts[source] >= self._most_per_source:
            crowded = source
        elif len(strangers) >= self._most:
            counts[source] += 1
            crowded = max(counts, key=lambda each: counts[each])
        else:
            return None
        return next((stranger for stranger in strangers if stranger.source == crowded), strangers[0])
