"""An address and port to listen on."""

import ipaddress
import re
from dataclasses import dataclass

DEFAULT_PORT = 3260
"""iSCSI's, from IANA."""
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
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            raise ValueError(f"{text!r} is no ADDRESS:PORT, with the address in figures") from None
        if port > 0xFFFF:
            raise ValueError(f"{port} is no TCP port")
        return cls(host, port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
