"""What may be called how."""

import pytest

from twinlock import errors
from twinlock.daemon.names import check_initiator, check_name, check_network, check_target


@pytest.mark.parametrize(
    "name",
    [
        "iqn.1991-05.com.microsoft:pc.example.net",
        "iqn.1993-08.org.debian:01:abcdef012345",
        "iqn.2007-10.com.github:sahlberg:libiscsi:iscsi-inq",
        "IQN.1998-01.com.vmware:ESX-1",
        "iqn.2026-11.net.example",
        "iqn.2026-11.net.example:bücher",
        "eui.02004567A425678D",
        "naa.52004567BA64678D",
    ],
)
def test_what_initiators_call_themselves(name: str) -> None:
    assert check_initiator(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "pc",
        "iqn.2026-13.net.example:pc",
        "iqn.2026-11.net.example:my pc",
        "iqn.2026-11.net.example:pc,iqn.2026-11.net.example:mac",
        "iqn.2026-11.net.example:" + "x" * 200,
        "eui.123",
        "*",
    ],
)
def test_what_is_no_initiator(name: str) -> None:
    with pytest.raises(errors.InitiatorNameInvalid):
        check_initiator(name)


def test_the_others_are_refused_with_their_own_errors() -> None:
    with pytest.raises(errors.NameInvalid):
        check_name("My Backup")
    with pytest.raises(errors.TargetNameInvalid):
        check_target("iqn.2026-11.net.example:Backup")
    with pytest.raises(errors.NetworkInvalid) as caught:
        check_network("192.168.1.5/24")
    assert "192.168.1.0/24 for the network" in str(caught.value)
