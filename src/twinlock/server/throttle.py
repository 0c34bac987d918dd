"""Wrong secrets: slowed down and counted for each address, so that guessing takes for ever.

Nothing waits in here: the owner asks how long an address has to wait, and waits as
it likes.  An address is an IPv4 address, or the /64 that an IPv6 address lies in, for
whoever has one of these has all of it.  But an address from which somebody proved who they
are counts for itself: a neighbour with a wrong secret must not lock out the owner.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from twinlock.server.access import parse_address

FIRST_DELAY = 0.5
"""Seconds that the attempt after the first wrong secret has to wait; doubled by each further one."""
MAX_DELAY = 10.0
"""Seconds at most: initiators wait 15 for a login, and the owner may be among those at that address."""
FORGET_SECONDS = 3600.0
"""After the last wrong secret, an address is as good as any other."""
MAX_ADDRESSES = 1024
"""That are remembered; beyond, the one that has been quiet for longest is forgotten."""

_SUBNET = 64
_DOUBLINGS = 10  # more than it takes to reach MAX_DELAY


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong secrets from one address; ``last`` in the clock's seconds."""

    address: str
    count: int
    last: float


@dataclass(slots=True)
class _Record:
    count: int = 0
    last: float = 0.0
    attempt: float = 0.0
    """When an attempt was let through last; the next one has to keep its distance."""


class Throttle:
    """What is remembered of wrong secrets.  Calls must not overlap."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """``clock``: seconds since the epoch."""
        self._clock = clock
        self._records: OrderedDict[str, _Record] = OrderedDict()  # quiet for longest first
        self._proven: OrderedDict[str, None] = OrderedDict()  # seen last at the end

    def source(self, address: str) -> str:
        """As :func:`source_of`, but an address that is known counts for itself."""
        return address if address in self._proven else source_of(address)

    def delay(self, address: str) -> float:
        """Seconds until an attempt from ``address`` may go on; it asks again then.

        0 lets it go on, and makes the next one from there wait: many at once are no faster than one.
        """
        self._forget()
        record = self._records.get(self.source(address))
        if record is None:
            return 0.0
        now = self._clock()
        distance = min(FIRST_DELAY * 2.0 ** min(record.count - 1, _DOUBLINGS), MAX_DELAY)
        wait = record.attempt + distance - now
        if 0 < wait <= distance:  # more than that, and the clock was turned back
            return wait
        record.attempt = now
        return 0.0

    def failed(self, address: str) -> None:
        """Somebody at ``address`` did not prove who they are."""
        self._forget()
        source = self.source(address)
        record = self._records.setdefault(source, _Record())
        record.count += 1
        record.last = record.attempt = self._clock()
        self._records.move_to_end(source)
        if len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Somebody at ``address`` knows the secret: what was, is forgotten."""
        self._records.pop(self.source(address), None)
        self._proven[address] = None
        self._proven.move_to_end(address)
        if len(self._proven) > MAX_ADDRESSES:
            self._proven.popitem(last=False)

    def counts(self) -> tuple[Failures, ...]:
        """What is remembered, the latest first."""
        self._forget()
        return tuple(
            Failures(address, record.count, record.last)
            for address, record in reversed(self._records.items())
        )

    def _forget(self) -> None:
        until = self._clock() - FORGET_SECONDS
        while self._records and next(iter(self._records.values())).last < until:
            self._records.popitem(last=False)


def source_of(address: str) -> str:
    """What an address counts as; text that is no address counts as itself."""
    try:
        parsed = parse_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    subnet = int(parsed) >> _SUBNET << _SUBNET
    return f"{type(parsed)(subnet)}/{_SUBNET}"
