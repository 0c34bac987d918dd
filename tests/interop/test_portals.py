"""Portals: several, of both families, and some whose address is not there (yet)."""

import filecmp
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.network import IsolatedDaemon
from twinlock.wire.iscsi_responses import TextResponse

FOUR, SIX = "192.0.2.77", "fd77::77"
"""Neither is anybody's: they are only ever in the namespace of a test."""
MISSING = "this machine does not have the address"


def plain(daemon: Daemon, folder: Path, name: str) -> None:
    members = [str(folder / f"{name}{number}.img") for number in range(2)]
    daemon.cli("create", name, *members, "--size", "16M", "--no-encryption", "--chap", "none")


def listing(text: str) -> dict[str, set[str]]:
    """Of ``iscsi-ls``: each target with its addresses."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if line.startswith("Target:"):
            target, _, portal = line.removeprefix("Target:").partition(" Portal:")
            found.setdefault(target.removeprefix(TARGET_PREFIX), set()).add(portal.strip())
    return found


def ask(portal: str, environ: dict[str, str] | None = None) -> dict[str, set[str]]:
    done = subprocess.run(
        ["iscsi-ls", f"iscsi://{portal}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environ or os.environ,
    )
    return listing(done.stdout)


def portals(daemon: Daemon) -> dict[str, tuple[bool, str | None]]:
    report: dict[str, Any] = json.loads(daemon.cli("status", "--json").stdout)
    return {each["portal"]: (each["listening"], each["reason"]) for each in report["portals"]}


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture
def both(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon on a portal of each family."""
    daemon = Daemon(tmp_path / "root")
    daemon.portals.append(f"[::1]:{daemon.port}")
    with daemon:
        yield daemon


def test_each_portal_tells_of_all_targets_and_all_portals(both: Daemon, tmp_path: Path) -> None:
    plain(both, tmp_path, "one")
    plain(both, tmp_path, "two")
    addresses = {f"127.0.0.1:{both.port},1", f"[::1]:{both.port},1"}
    for host in ("127.0.0.1", "[::1]"):
        assert ask(f"{host}:{both.port}") == {"one": addresses, "two": addresses}
    assert set(portals(both).values()) == {(True, None)}


def test_targets_behind_one_portal_are_different_disks(both: Daemon, tmp_path: Path) -> None:
    plain(both, tmp_path, "one")
    plain(both, tmp_path, "two")
    serials = set()
    for host in ("127.0.0.1", "[::1]"):
        for name in ("one", "two"):
            url = f"iscsi://{host}:{both.port}/{TARGET_PREFIX}{name}/0"
            command = ["iscsi-inq", "-e", "1", "-c", "128", url]
            serials.add(
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
            )
    assert len(serials) == 2, "each by both portals"


def test_a_disk_is_written_and_read_over_ipv6(both: Daemon, tmp_path: Path) -> None:
    plain(both, tmp_path, "one")
    url = f"iscsi://[::1]:{both.port}/{TARGET_PREFIX}one/0"
    size = both.status("one")["open"]["size"]
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(size))
    raw = ("-f", "raw", "-O", "raw")
    for command in (("-n", *raw, str(source), url), (*raw, url, str(back))):
        subprocess.run(["qemu-img", "convert", *command], check=True, capture_output=True, timeout=120)
    assert filecmp.cmp(source, back, shallow=False)


def test_a_normal_session_is_told_of_its_own_target_and_all_portals(both: Daemon, tmp_path: Path) -> None:
    plain(both, tmp_path, "one")
    plain(both, tmp_path, "two")
    with Client(both.port, TARGET_PREFIX + "one") as client:
        client.protocol.text({"SendTargets": ""})
        while not isinstance(client.protocol.replies[-1].header, TextResponse):
            client.pump()
        told = client.protocol.replies[-1].data.decode().split("\0")
    addresses = [f"TargetAddress={host}:{both.port},1" for host in ("127.0.0.1", "[::1]")]
    assert told == [f"TargetName={TARGET_PREFIX}one", *addresses, ""]


def test_a_wildcard_is_told_as_the_address_one_came_by(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "root")
    daemon.portals = [f"[::]:{daemon.port}"]
    with daemon:
        plain(daemon, tmp_path, "one")
        assert ask(f"127.0.0.1:{daemon.port}") == {"one": {f"127.0.0.1:{daemon.port},1"}}
        assert ask(f"127.0.0.5:{daemon.port}") == {"one": {f"127.0.0.5:{daemon.port},1"}}
        assert ask(f"[::1]:{daemon.port}") == {"one": {f"[::1]:{daemon.port},1"}}


def test_an_address_that_is_missing_at_the_start_is_reported_and_taken_later(tmp_path: Path) -> None:
    daemon = IsolatedDaemon(tmp_path / "root", "127.0.0.1:PORT", f"{FOUR}:PORT", f"[{SIX}]:PORT")
    here, four, six = daemon.portals
    with daemon:
        plain(daemon, tmp_path, "one")
        assert portals(daemon) == {here: (True, None), four: (False, MISSING), six: (False, MISSING)}
        assert f"NOT listening on {four}: {MISSING}" in daemon.cli("status").stdout
        assert f"portal {four} does not listen: {MISSING}" in daemon.log.read_text()
        assert listing(daemon.inside("iscsi-ls", f"iscsi://{here}")) == {"one": {f"{here},1"}}

        daemon.ip("addr", "add", f"{FOUR}/32", "dev", "lo")
        until(lambda: portals(daemon)[four][0], "the IPv4 address is taken")
        daemon.ip("addr", "add", f"{SIX}/128", "dev", "lo", "nodad")
        until(lambda: portals(daemon)[six][0], "the IPv6 address is taken")
        told = {"one": {f"{four},1", f"{six},1"}}
        assert listing(daemon.inside("iscsi-ls", f"iscsi://{six}")) == told, "not the loopback address"
        daemon.inside("iscsi-inq", f"iscsi://{four}/{TARGET_PREFIX}one/0")


@pytest.mark.long
def test_an_address_that_goes_and_returns_works_again(tmp_path: Path) -> None:
    daemon = IsolatedDaemon(tmp_path / "root", f"{FOUR}:PORT")
    (four,) = daemon.portals
    with daemon:
        assert portals(daemon) == {four: (False, MISSING)}, "it starts with none at all"
        plain(daemon, tmp_path, "one")
        for leaves in (True, False):
            daemon.ip("addr", "add", f"{FOUR}/32", "dev", "lo")
            until(lambda: portals(daemon)[four][0], "the address is taken")
            daemon.inside("iscsi-inq", f"iscsi://{four}/{TARGET_PREFIX}one/0")
            if leaves:
                daemon.ip("addr", "del", f"{FOUR}/32", "dev", "lo")
                until(lambda: not portals(daemon)[four][0], "its absence is noticed")


def test_an_interface_that_is_made_anew(tmp_path: Path) -> None:
    """A link-local address is one only together with its interface, whose number changes."""
    daemon = IsolatedDaemon(tmp_path / "root", "[fe80::77%late0]:PORT")
    (local,) = daemon.portals
    with daemon:
        assert portals(daemon) == {local: (False, "there is no interface late0")}
        plain(daemon, tmp_path, "one")
        for leaves in (True, False):
            daemon.ip("link", "add", "late0", "type", "veth", "peer", "name", "late1")
            for name in ("late0", "late1"):
                daemon.ip("link", "set", name, "up")
            daemon.ip("addr", "add", "fe80::77/64", "dev", "late0", "nodad")
            until(lambda: portals(daemon)[local][0], "the address is taken")
            shown = daemon.inside("ss", "-Hltn")
            assert f"[fe80::77]%late0:{daemon.port}" in shown
            if leaves:
                daemon.ip("link", "del", "late0")
                until(lambda: not portals(daemon)[local][0], "its absence is noticed")
