"""Who is registered, and what is reserved: one immutable value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations.access import ALL_REGISTRANTS, PERSISTENT, REGISTERED, Access, Standing
from twinlock.wire.scsi_reservation import ReservationType

_U32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Registration:
    """The reservation key of an I_T nexus, and whether it was registered for all target ports."""

    key: int
    all_target_ports: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """A persistent reservation; ``holder`` is None for the types that all registrants hold."""

    type: ReservationType
    holder: Nexus | None

    @classmethod
    def by(cls, nexus: Nexus, kind: ReservationType) -> "Reservation":
        """The reservation of ``kind`` that ``nexus`` makes."""
        return cls(kind, None if kind in ALL_REGISTRANTS else nexus)


@dataclass(frozen=True, slots=True)
class State:
    """All that is persistent; ``generation`` is PRGENERATION, ``kept`` the last APTPL bit."""

    registrations: Mapping[Nexus, Registration] = field(default_factory=lambda: MappingProxyType({}))
    reservation: Reservation | None = None
    generation: int = 0
    kept: bool = False

    def holds(self, nexus: Nexus) -> bool:
        """Whether ``nexus`` is a holder of the reservation."""
        if self.reservation is None or nexus not in self.registrations:
            return False
        return self.reservation.holder is None or self.reservation.holder == nexus

    def standing(self, nexus: Nexus) -> Standing:
        """What ``nexus`` is to the reservation."""
        if nexus not in self.registrations:
            return Standing.STRANGER
        return Standing.HOLDER if self.holds(nexus) else Standing.REGISTRANT

    def allows(self, nexus: Nexus, access: Access) -> bool:
        """Whether a command of ``nexus`` that needs ``access`` conflicts with nothing."""
        if self.reservation is None:
            return not self.registrations or access in REGISTERED
        return access in PERSISTENT[self.reservation.type, self.standing(nexus)]

    def others(self, nexus: Nexus) -> tuple[Nexus, ...]:
        """Everyone registered but ``nexus``."""
        return tuple(each for each in self.registrations if each != nexus)

    def with_keys(self, keys: Mapping[Nexus, Registration]) -> "State":
        """The state in which ``keys`` are registered besides the present ones, or instead of them."""
        return replace(self, registrations=MappingProxyType({**self.registrations, **keys}))

    def without(self, nexuses: Iterable[Nexus]) -> "State":
        """The state without the registrations of ``nexuses``, and without the reservation they held."""
        gone = frozenset(nexuses)
        left = {nexus: each for nexus, each in self.registrations.items() if nexus not in gone}
        held = self.reservation
        if held is not None and (not left if held.holder is None else held.holder in gone):
            held = None
        return replace(self, registrations=MappingProxyType(left), reservation=held)

    def advanced(self) -> "State":
        """The state with the next PRGENERATION, which wraps around."""
        return replace(self, generation=(self.generation + 1) % _U32)
