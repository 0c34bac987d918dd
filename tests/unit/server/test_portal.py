"""Addresses to listen on, as people write them."""

import pytest

from twinlock.server.portal import Portal


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.0.0.5:3261", "10.0.0.5", 3261),
        ("10.0.0.5", "10.0.0.5", 3260),
        ("[::]:3260", "::", 3260),
        ("[FD00:0::1]", "fd00::1", 3260),
        ("[fe80::1%eth0]:5", "fe80::1%eth0", 5),
    ],
)
def test_reads_and_writes(text: str, host: str, port: int) -> None:
    portal = Portal.parse_own(text)
    assert (portal.host, portal.port) == (host, port)
    assert Portal.parse(str(portal)) == portal


@pytest.mark.parametrize(
    "text", ["", ":3260", "fe80::1", "[::1", "10.0.0.5:", "10.0.0.5:x", "10.0.0.5:65536", "host:1", "[1.2:3"]
)
def test_refuses(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Portal.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[fe80::1]", r"\[fe80::1%eth0\]"),
        ("224.0.0.1", "multicast"),
        ("[ff02::1]", "multicast"),
        ("[::ffff:10.0.0.1]", "write 10.0.0.1"),
    ],
)
def test_nothing_can_listen_there(text: str, words: str) -> None:
    Portal.parse(text)
    with pytest.raises(ValueError, match=words):
        Portal.parse_own(text)


def test_a_wildcard_covers_addresses_of_its_family() -> None:
    four, six = Portal("10.0.0.5", 1), Portal("fd00::1", 1)
    assert [Portal("::", 1).covers(each) for each in (four, six)] == [True, True]
    assert [Portal("0.0.0.0", 1).covers(each) for each in (four, six)] == [True, False]
    assert not Portal("10.0.0.5", 1).covers(four)
