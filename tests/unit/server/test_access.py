"""Lists of initiators and networks."""

import pytest

from twinlock.server.access import AllowList, parse_network


@pytest.mark.parametrize(
    ("networks", "host", "permitted"),
    [
        ((), "203.0.113.9", True),
        (("192.168.1.0/24",), "192.168.1.200", True),
        (("192.168.1.0/24",), "192.168.2.1", False),
        (("192.168.1.5",), "192.168.1.5", True),
        (("192.168.1.5",), "192.168.1.6", False),
        (("192.168.1.0/24",), "::ffff:192.168.1.7", True),
        (("192.168.1.0/24", "fd00::/8"), "fd12::1", True),
        (("fd00::/8",), "192.168.1.7", False),
        (("fd12::1",), "fd12::1", True),
        (("fd12::1",), "fd12::2", False),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("0.0.0.0/0",), "::1", False),
    ],
)
def test_where_a_connection_may_come_from(networks: tuple[str, ...], host: str, permitted: bool) -> None:
    assert AllowList.of((), networks).permits_address(host) is permitted


def test_names_are_compared_in_lower_case() -> None:
    allowed = AllowList.of(["iqn.1991-05.com.microsoft:PC"], ())
    assert allowed.permits_name("IQN.1991-05.com.microsoft:pc")
    assert not allowed.permits_name("iqn.1991-05.com.microsoft:pc2")
    assert AllowList.of((), ()).permits_name("whoever")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.168.1.5/24", "192.168.1.5 for the machine or 192.168.1.0/24 for the network"),
        ("fd00::1/8", "fd00::1 for the machine or fd00::/8"),
        ("192.168.1.0/33", "write it like"),
        ("my network", "write it like"),
        ("", "write it like"),
        ("fe80::%eth0/10", "scope"),
        ("::ffff:10.0.0.0/104", "IPv4"),
    ],
)
def test_what_is_no_network(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_network(text)
