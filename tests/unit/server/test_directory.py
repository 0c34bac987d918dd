"""Who is let in to a volume, by name and by network."""

import pytest

from twinlock.server.access import AllowList
from twinlock.server.directory import SingleTarget
from twinlock.server.messages import VolumeSpec

TARGET = "iqn.2026-11.io.twinlock:backup"
MAC = "iqn.2026-11.example:mac"


def directory(host: str, *, initiators: tuple[str, ...] = (), networks: tuple[str, ...] = ()) -> SingleTarget:
    spec = VolumeSpec(name="backup", members=(), target=TARGET, initiators=initiators, networks=networks)
    return SingleTarget(spec, AllowList.of(spec.initiators, spec.networks), host)


@pytest.mark.parametrize(
    ("host", "initiators", "networks", "permitted"),
    [
        ("192.0.2.7", (), (), True),
        ("192.0.2.7", (MAC,), (), True),
        ("192.0.2.7", (MAC.upper(),), (), True),
        ("192.0.2.7", ("iqn.2026-11.example:pc",), (), False),
        ("192.0.2.7", (), ("192.0.2.0/24",), True),
        ("::ffff:192.0.2.7", (), ("192.0.2.0/24",), True),
        ("198.51.100.7", (), ("192.0.2.0/24",), False),
        ("2001:db8::7", (), ("192.0.2.0/24",), False),
        ("2001:db8::7", (), ("192.0.2.0/24", "2001:db8::/32"), True),
        ("198.51.100.7", (MAC,), ("192.0.2.0/24",), False),
    ],
)
def test_both_lists_must_let_in(
    host: str, initiators: tuple[str, ...], networks: tuple[str, ...], permitted: bool
) -> None:
    entry = directory(host, initiators=initiators, networks=networks).find(TARGET)
    assert entry is not None
    assert entry.permits(MAC) is permitted


def test_a_target_is_found_by_its_name_in_any_case() -> None:
    assert directory("192.0.2.7").find(TARGET.upper()) is not None
    assert directory("192.0.2.7").find("iqn.2026-11.io.twinlock:other") is None


def test_a_session_is_told_of_its_own_target_alone() -> None:
    """SendTargets in a normal session (RFC 7143 appendix C)."""
    spec = VolumeSpec(name="backup", members=(), target=TARGET)
    addresses = ["10.0.0.5:3260,1", "[fd00::5]:3260,1"]
    told = SingleTarget(spec, AllowList.of((), ()), "10.0.0.9", addresses).visible(MAC)
    assert told == [(TARGET, addresses)]
