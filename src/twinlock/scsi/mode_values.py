"""The mode parameters that an initiator can change, as one immutable value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModeValues:
    """What MODE SELECT has set, and a reset takes back; the same for all initiators."""

    descriptor_sense: bool = False
    """D_SENSE: sense data in descriptor format."""
    software_write_protect: bool = False
    """SWP: commands that write are refused."""
