"""State machines as tables: each pair of a state and an event has a state that follows, and an action.

A machine writes down the pairs that mean something; ``otherwise`` says for all others
what is done, and where that leads.  The diagrams in docs/state-machines.md are made
of these tables, and the tests walk through every pair.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, StrEnum
from typing import Any, Generic, NamedTuple, TypeVar

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)
Action = TypeVar("Action")


class Arrow(NamedTuple):
    """One entry of a table, as a diagram shows it."""

    state: str
    event: str
    following: str
    action: str


class StateMachine(Generic[State, Event, Action]):
    """One machine; ``steps`` is the whole table."""

    def __init__(
        self,
        title: str,
        section: str,
        *,
        states: type[State],
        events: type[Event],
        arrows: Mapping[tuple[State, Event], tuple[State, Action]],
        otherwise: tuple[State | None, Action],
        starts: Iterable[State] = (),
        final: Iterable[State] = (),
    ) -> None:
        """It starts in the first of the ``states``, or in one of ``starts``; ``section`` names the standard.

        ``otherwise`` without a state leaves it as it is.
        """
        self.title = title
        self.section = section
        self.states = tuple(states)
        self.events = tuple(events)
        self.starts = tuple(starts) or self.states[:1]
        self.start = self.starts[0]
        self.final = frozenset(final)
        self.otherwise = (otherwise[0], label(otherwise[1]))
        self.steps = {
            (state, event): arrows.get((state, event), (otherwise[0] or state, otherwise[1]))
            for state in self.states
            for event in self.events
        }
        self._drawn = tuple(arrows)

    def arrows(self) -> Iterator[Arrow]:
        """What a diagram shows: all that was written down."""
        for state, event in self._drawn:
            following, action = self.steps[state, event]
            yield Arrow(label(state), label(event), label(following), label(action))


def label(thing: Any) -> str:
    """A state, an event or an action in words: an enumeration's member, or a function's name."""
    if isinstance(thing, StrEnum):
        return str(thing)
    name: str = thing.name.lower() if isinstance(thing, Enum) else thing.__name__
    return name.strip("_").replace("_", " ")
