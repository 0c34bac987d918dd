"""What each medium took part in, told from what was done: who may be refused, and who may not.

An array's life is a row of stretches, in each of which the same media took part.  Two media ran apart if
each took part in a stretch without the other.  A start or an act that was cut off counts: some of it may be
on a medium.  A medium that joins others has from then on what they have (it inherits their stretches), but
one that left before cannot tell that from its own superblock: to refuse the two is legal, and counted.
"""

from collections.abc import Iterable
from itertools import count


class History:
    """Stretches, by the number of the medium."""

    def __init__(self) -> None:
        self._seen: dict[int, set[int]] = {}
        self._own: dict[int, set[int]] = {}
        self._met: dict[int, set[int]] = {}
        self._room: dict[int, int] = {}
        self._stretches = count()

    def together(self, numbers: Iterable[int]) -> None:
        """A new stretch of these."""
        stretch, party = next(self._stretches), set(numbers)
        for number in party:
            self._seen.setdefault(number, set()).add(stretch)
            self._own.setdefault(number, set()).add(stretch)
            self._met.setdefault(number, set()).update(party)

    def joined(self, number: int, source: int) -> None:
        """It is made to hold what ``source`` has; what it had of its own is gone."""
        self._seen[number] = set(self._seen.get(source, ()))
        self._met[number] = self._met.get(source, set()) | {number}

    def renamed(self, number: int) -> None:
        """It takes another's place under a new number: who met it before knows it no more."""
        for met in self._met.values():
            met.discard(number)
        self._met.setdefault(number, set()).add(number)

    def blank(self, number: int) -> None:
        """Nothing is on it any more."""
        for known in (self._seen, self._own, self._met, self._room):
            known.pop(number, None)

    def sized(self, numbers: Iterable[int], size: int) -> None:
        """The array has so many bytes, and these took part then."""
        for number in numbers:
            self._room[number] = size

    def apart(self, one: int, other: int) -> bool:
        """True if each took part in a stretch without the other."""
        return _differ(self._own, one, other)

    def could_be_told(self, number: int, others: Iterable[int]) -> bool:
        """True if all of what it took part in is known to all of the others: a third one bears witness."""
        return not any(_differ(self._seen, number, other) for other in others)

    def may_be_refused(self, number: int, others: Iterable[int]) -> bool:
        """True if it ran apart from one of them, or left before any of them came, so nothing on it tells."""
        rest = [other for other in others if other != number and other in self._seen]
        met = self._met.get(number, set())
        return any(self.apart(number, other) for other in rest) or met.isdisjoint(rest)

    def missed_growth(self, number: int, size: int) -> bool:
        """True if the array has become larger since it took part."""
        return self._room.get(number, size) < size


def _differ(stretches: dict[int, set[int]], one: int, other: int) -> bool:
    first, second = stretches.get(one, set()), stretches.get(other, set())
    return bool(first - second) and bool(second - first)
