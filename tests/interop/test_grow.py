"""A volume grows under a real initiator, which is told; locked ones grow as well."""

import json
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon

CHECK_CONDITION = 2
CAPACITY_HAS_CHANGED = (0x2A, 0x09)
BLOCK = 512


def make(daemon: Daemon, tmp_path: Path, *options: str) -> list[str]:
    members = [str(tmp_path / f"disk{number}") for number in range(2)]
    daemon.cli("create", "backup", *members, "--size", "24M", "--chap", "none", *options, stdin=b"secret")
    return members


def asc(outcome: object) -> tuple[int, int]:
    sense = bytes(getattr(outcome, "sense"))  # noqa: B009
    return sense[12], sense[13]


@pytest.mark.parametrize(
    "options",
    [
        ("--passphrase-file", "-", "--iter-time", "0"),
        pytest.param(("--no-encryption",), marks=pytest.mark.long),
    ],
)
def test_it_grows_in_use_and_the_initiator_is_told(tmp_path: Path, options: tuple[str, ...]) -> None:
    with Daemon(tmp_path / "root") as daemon:
        make(daemon, tmp_path, *options)
        with Client(daemon.port, TARGET_PREFIX + "backup") as client:
            blocks, _ = client.capacity()
            client.write(blocks - 1, b"end".ljust(BLOCK))
            grown = json.loads(daemon.cli("grow", "backup", "--size", "48M", "--json").stdout)
            assert grown["told"] == 1
            attention = client.execute(bytes(16))
            assert attention.status == CHECK_CONDITION
            assert asc(attention) == CAPACITY_HAS_CHANGED
            now, _ = client.capacity()
            assert now * BLOCK == grown["size"]
            assert now >= blocks + (20 << 20) // BLOCK
            assert client.read(blocks - 1, 1) == b"end".ljust(BLOCK)
            client.write(now - 1, b"new end".ljust(BLOCK))
            client.flush()
        daemon.cli("lock", "backup")
        daemon.cli("unlock", "backup", *options[:2] if len(options) > 1 else (), stdin=b"secret")
        with Client(daemon.port, TARGET_PREFIX + "backup") as client:
            assert client.capacity()[0] == now
            assert client.read(now - 1, 1) == b"new end".ljust(BLOCK)


@pytest.mark.long
def test_it_grows_while_it_is_locked_and_without_a_daemon(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "root")
    members = make(daemon, tmp_path, "--no-encryption")
    grown = json.loads(daemon.cli("grow", "backup", "--size", "40M", "--json").stdout)
    assert grown["size"] is None
    assert grown["array_size"] >= grown["before"] + (14 << 20)
    assert {Path(member).stat().st_size for member in members} == {40 << 20}
    with daemon:
        daemon.await_unlocked("backup")
        with Client(daemon.port, TARGET_PREFIX + "backup") as client:
            assert client.capacity()[0] * BLOCK == grown["array_size"]
        again = json.loads(daemon.cli("grow", "backup", "--json").stdout)
        assert (again["before"], again["told"]) == (again["array_size"], 0)
