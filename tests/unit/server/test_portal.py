"""Addresses to listen on, as people write them."""

import pytest

from twinlock.server.portal import Portal


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:3261", "10.0.0.5", 3261),
        ("10.0.0.5", "10.0.0.5", 3260),
        ("[::]:3260", "::", 3260),
        ("[fe80::1]", "fe80::1", 3260),
        ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
    ],
)
def test_reads_and_writes(text: str, host: str, port: int) -> None:
    portal = Portal.parse(text)
    assert (portal.host, portal.port) == (host, port)
    assert Portal.parse(str(portal)) == portal


@pytest.mark.parametrize(
    "text", ["", ":3260", "fe80::1", "[::1", "10.0.0.5:", "10.0.0.5:x", "10.0.0.5:65536", "host:1", "[1.2:3"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Portal.parse(text)
