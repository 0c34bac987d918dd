"""Who a logical unit is: names that stay the same on whatever machine serves it."""

import hashlib
from dataclasses import dataclass
from typing import Self

_NAA_LOCALLY_ASSIGNED = 0x3
_NAA_BYTES = 8


@dataclass(frozen=True, slots=True)
class Identity:
    """The identifiers that INQUIRY reports (SPC-4, standard INQUIRY data and designation descriptors).

    ``naa`` is a locally assigned NAA identifier of 8 bytes.  ``target_name`` is
    the iSCSI name of the target, if there is one to report, and ``portal_group``
    the tag of the portal group that serves it.
    """

    naa: bytes
    serial: str
    vendor: str = "TWINLOCK"
    product: str = "Mirrored volume"
    revision: str = "0001"
    target_name: str | None = None
    portal_group: int = 1

    def __post_init__(self) -> None:
        if len(self.naa) != _NAA_BYTES or self.naa[0] >> 4 != _NAA_LOCALLY_ASSIGNED:
            raise ValueError("a locally assigned NAA identifier has 8 bytes and begins with 3h")
        for text, limit in ((self.vendor, 8), (self.product, 16), (self.revision, 4), (self.serial, 64)):
            if len(text) > limit or not (text.isascii() and text.isprintable()):
                raise ValueError(f"{text!r} is not printable ASCII of at most {limit} characters")

    @classmethod
    def of_array(cls, uuid: bytes, *, target_name: str | None = None, portal_group: int = 1) -> Self:
        """The identity of the volume whose array has ``uuid`` (16 bytes): the disks carry it with them.

        The serial is the UUID; the 60 free bits of the NAA identifier are the
        first of its SHA-256, so that no fixed bits of the UUID are wasted there.
        """
        digest = hashlib.sha256(uuid).digest()[:_NAA_BYTES]
        naa = bytes([_NAA_LOCALLY_ASSIGNED << 4 | digest[0] & 0x0F]) + digest[1:]
        return cls(naa=naa, serial=uuid.hex(), target_name=target_name, portal_group=portal_group)

    @property
    def port_name(self) -> str | None:
        """The SCSI name of the target port (RFC 7143 section 4.4.3): target name and portal group tag."""
        return None if self.target_name is None else f"{self.target_name},t,0x{self.portal_group:04x}"
