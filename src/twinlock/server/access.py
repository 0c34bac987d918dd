"""Who may come to a volume: lists of initiator names and of networks; an empty list means everybody.

A name is what the initiator says it is; only CHAP proves anything.  A network is where the
connection comes from.  Both lists must let an initiator in.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class AllowList:
    """The lists of one volume."""

    initiators: frozenset[str]
    networks: tuple[Network, ...]

    @classmethod
    def of(cls, initiators: Iterable[str], networks: Iterable[str]) -> "AllowList":
        """From the configuration's text; raises ValueError for what is no network."""
        return cls(frozenset(map(str.lower, initiators)), tuple(map(parse_network, networks)))

    def permits_name(self, initiator_name: str) -> bool:
        """Whether an initiator of that name may use the volume (compared in lower case, RFC 3722)."""
        return not self.initiators or initiator_name.lower() in self.initiators

    def permits_address(self, host: str) -> bool:
        """Whether a connection from ``host`` (an address as the kernel writes it) may use the volume."""
        if not self.networks:
            return True
        address = parse_address(host)
        return any(address in network for network in self.networks)


def parse_address(host: str) -> Address:
    """The address of a peer: without its scope, and an IPv4 address as such; raises ValueError."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_network(text: str) -> Network:
    """``192.168.1.0/24``, ``fd00::/8`` or a single address; raises ValueError with the reason."""
    if "%" in text:
        raise ValueError("leave the scope away: a network is the same on every interface")
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("write it like 192.168.1.0/24, fd00::/8 or 192.168.1.5") from None
    given = ipaddress.ip_address(text.partition("/")[0])
    if given != network.network_address:  # the machine or its network: whoever wrote it has to say
        raise ValueError(f"write {given} for the machine or {network} for the network")
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise ValueError("write it as IPv4")
    return network
