"""Which commands a reservation lets through, as tables.

SPC-4 and SBC-3 list every command against every type of reservation ("commands
that are allowed in the presence of various reservations").  The columns repeat:
all commands fall into the few kinds of :class:`Access`, and each row of the
opcode table names its own.
"""

from enum import Enum, auto

from twinlock.wire.scsi_reservation import ReservationType as Type


class Access(Enum):
    """What a command does to a unit that somebody may have reserved."""

    NOTHING = auto()
    """Asks what anyone may know: INQUIRY, REPORT LUNS, READ CAPACITY."""
    READINESS = auto()
    """TEST UNIT READY: as NOTHING, but SPC-2's reservations refuse it."""
    READ = auto()
    """Reads the medium, or what its holder has set up."""
    WRITE = auto()
    """Changes the medium or the unit."""
    PERSISTENT_RESERVE = auto()
    """PERSISTENT RESERVE IN and OUT: each service action judges for itself."""
    RESERVE = auto()
    """RESERVE of SPC-2."""
    RELEASE = auto()
    """RELEASE of SPC-2, which does nothing for those who hold nothing."""


class Standing(Enum):
    """What a nexus is to a reservation."""

    HOLDER = auto()
    REGISTRANT = auto()
    """Registered, and not the holder."""
    STRANGER = auto()


_ALL = frozenset(Access)
_ANYONE = frozenset({Access.NOTHING, Access.READINESS, Access.PERSISTENT_RESERVE})
_READERS = _ANYONE | {Access.READ}

REGISTRANTS_ONLY = frozenset({Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY, Type.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY})
ALL_REGISTRANTS = frozenset({Type.WRITE_EXCLUSIVE_ALL_REGISTRANTS, Type.EXCLUSIVE_ACCESS_ALL_REGISTRANTS})
"""Types that every registrant holds."""

PERSISTENT: dict[tuple[Type, Standing], frozenset[Access]] = {
    (Type.WRITE_EXCLUSIVE, Standing.HOLDER): _ALL,
    (Type.WRITE_EXCLUSIVE, Standing.REGISTRANT): _READERS,
    (Type.WRITE_EXCLUSIVE, Standing.STRANGER): _READERS,
    (Type.EXCLUSIVE_ACCESS, Standing.HOLDER): _ALL,
    (Type.EXCLUSIVE_ACCESS, Standing.REGISTRANT): _ANYONE,
    (Type.EXCLUSIVE_ACCESS, Standing.STRANGER): _ANYONE,
    (Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY, Standing.HOLDER): _ALL,
    (Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY, Standing.REGISTRANT): _ALL,
    (Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY, Standing.STRANGER): _READERS,
    (Type.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY, Standing.HOLDER): _ALL,
    (Type.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY, Standing.REGISTRANT): _ALL,
    (Type.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY, Standing.STRANGER): _ANYONE,
    (Type.WRITE_EXCLUSIVE_ALL_REGISTRANTS, Standing.HOLDER): _ALL,
    (Type.WRITE_EXCLUSIVE_ALL_REGISTRANTS, Standing.REGISTRANT): _ALL,
    (Type.WRITE_EXCLUSIVE_ALL_REGISTRANTS, Standing.STRANGER): _READERS,
    (Type.EXCLUSIVE_ACCESS_ALL_REGISTRANTS, Standing.HOLDER): _ALL,
    (Type.EXCLUSIVE_ACCESS_ALL_REGISTRANTS, Standing.REGISTRANT): _ALL,
    (Type.EXCLUSIVE_ACCESS_ALL_REGISTRANTS, Standing.STRANGER): _ANYONE,
}
"""What each may do under a persistent reservation; for RESERVE and RELEASE see ``REGISTERED``.

RESERVE and RELEASE are let through to whom SPC-4's exceptions (CRH) answer with
GOOD; they then change nothing.
"""

REGISTERED: frozenset[Access] = _ALL - {Access.RESERVE, Access.RELEASE}
"""What all may do while somebody is registered and nothing is reserved (SPC-2, handling of reservations)."""

EXCLUSIVE: dict[Standing, frozenset[Access]] = {
    Standing.HOLDER: _ALL - {Access.PERSISTENT_RESERVE},
    Standing.STRANGER: frozenset({Access.NOTHING, Access.RELEASE}),
}
"""What each may do under a RESERVE of SPC-2, which keeps persistent reservations out altogether."""
