"""Who sends a command: an initiator port, through the target's only port group."""

from typing import NamedTuple


class Nexus(NamedTuple):
    """An I_T nexus: the initiator's name and ISID (6 bytes) are its port (RFC 7143 section 4.4.1)."""

    initiator_name: str
    isid: bytes

    @property
    def port_name(self) -> str:
        """The name of the initiator port, as TransportIDs have it (SPC-4, iSCSI TransportID format 01b)."""
        return f"{self.initiator_name},i,0x{self.isid.hex()}"
