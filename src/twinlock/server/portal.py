"""An address and port to listen on."""

import ipaddress
import re
from dataclasses import dataclass

DEFAULT_PORT = 3260
"""iSCSI's, from IANA."""
WILDCARDS = ("::", "0.0.0.0")
_PORTAL = re.compile(r"(\[(?P<six>[^\]]+)\]|(?P<four>[^:\[\]]+))(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class Portal:
    """An address and TCP port to listen on (RFC 7143 section 4.3.1)."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Portal":
        """``10.0.0.5:3260``, ``[::]:3260``, ``[fe80::1]`` or ``0.0.0.0``; raises ValueError."""
        match = _PORTAL.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no ADDRESS:PORT")
        host, port = match["six"] or match["four"], int(match["port"] or DEFAULT_PORT)
        try:
            host = str(ipaddress.ip_address(host))
        except ValueError:
            raise ValueError(f"{text!r} is no ADDRESS:PORT, with the address in figures") from None
        if port > 0xFFFF:
            raise ValueError(f"{port} is no TCP port")
        return cls(host, port)

    @classmethod
    def parse_own(cls, text: str) -> "Portal":
        """As :meth:`parse`, for an address that this machine is to listen on."""
        portal = cls.parse(text)
        _refuse_odd(ipaddress.ip_address(portal.host))
        return portal

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """True if it is every address, not one."""
        return self.host in WILDCARDS

    @property
    def is_loopback(self) -> bool:
        """True if only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def scope(self) -> str | None:
        """The interface of a link-local IPv6 address."""
        return self.host.partition("%")[2] or None

    @property
    def unscoped(self) -> "Portal":
        """As another machine writes it: our interfaces' names mean nothing there."""
        return Portal(self.host.partition("%")[0], self.port)

    def covers(self, other: "Portal") -> bool:
        """True if a wildcard listens on the address of ``other``, too."""
        return self.host == "::" or (self.host == "0.0.0.0" and ":" not in other.host)


def _refuse_odd(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Addresses on which nothing can listen; raises ValueError."""
    if address.is_multicast:
        raise ValueError(f"{address} is a multicast address")
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            raise ValueError(f"write {address.ipv4_mapped} for {address}")
        if address.is_link_local and not address.scope_id:
            raise ValueError(f"{address} is link-local: write the interface too, like [{address}%eth0]")
