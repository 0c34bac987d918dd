"""Where a login goes, and what discovery shows."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.initiator import Initiator
from twinlock import errors
from twinlock.daemon.credentials import Credentials
from twinlock.daemon.folders import Folders
from twinlock.daemon.gate import Gate
from twinlock.daemon.settings import VolumeTable
from twinlock.daemon.volume import ManagedVolume
from twinlock.iscsi.login import first_request
from twinlock.server.messages import Login
from twinlock.server.portal import Portal
from twinlock.wire.iscsi_codes import LoginStatus

PC = "iqn.2026-11.net.example:pc"
PREFIX = "iqn.2026-11.io.twinlock:"
HERE, NEAR, FAR = Portal("10.0.0.5", 3260), Portal("10.0.0.9", 40000), Portal("192.0.2.9", 40000)


class Worker:
    """Takes logins, or fails."""

    def __init__(self) -> None:
        self.logins: list[Login] = []
        self.fails = False

    async def tell(self, request: Login, descriptor: int) -> None:
        if self.fails:
            raise errors.WorkerFailed(name="open", reason="it ended", log="open.log")
        assert descriptor >= 0
        self.logins.append(request)


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def gate(tmp_path: Path, worker: Worker) -> Gate:
    folders = Folders.locate({"TWINLOCK_ROOT": str(tmp_path)})
    tables = [
        VolumeTable(name="open", members=("/a",)),
        VolumeTable(name="near", members=("/b",), networks=("10.0.0.0/24",)),
        VolumeTable(name="pcs", members=("/c",), initiators=(PC,)),
        VolumeTable(name="locked", members=("/d",), networks=("10.0.0.0/24",)),
    ]
    volumes = {t.name: ManagedVolume(t, folders, Credentials(folders.secrets), 10.0) for t in tables}
    for name in ("open", "near", "pcs"):
        volumes[name].worker = worker  # type: ignore[assignment]
    return Gate(volumes)


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        yield sock


def route(gate: Gate, client: socket.socket, target: str | None, peer: Portal = NEAR) -> Any:
    initiator = Initiator(target)
    keys = {"InitiatorName": PC} | ({} if target is None else {"TargetName": PREFIX + target})
    initiator.login_request(keys, transit=False)
    first = initiator.take_output()
    request = first_request(first)
    assert request is not None
    return asyncio.run(gate.route(request, client, first, peer, HERE))


@pytest.mark.parametrize(
    ("target", "peer", "status"),
    [
        ("open", FAR, None),
        ("OPEN", FAR, None),
        ("near", NEAR, None),
        ("near", FAR, LoginStatus.AUTHORIZATION_FAILURE),
        ("pcs", FAR, None),
        ("locked", NEAR, LoginStatus.SERVICE_UNAVAILABLE),
        ("locked", FAR, LoginStatus.AUTHORIZATION_FAILURE),
        ("nothing", NEAR, LoginStatus.TARGET_NOT_FOUND),
        (None, NEAR, LoginStatus.MISSING_PARAMETER),
    ],
)
def test_routes(
    gate: Gate,
    worker: Worker,
    client: socket.socket,
    target: str | None,
    peer: Portal,
    status: LoginStatus | None,
) -> None:
    assert route(gate, client, target, peer) is status
    handed = [(str(peer), ("10.0.0.5:3260,1",))] if status is None else []
    assert [(login.peer, login.addresses) for login in worker.logins] == handed


def test_a_worker_that_ends_meanwhile_is_out_of_service(
    gate: Gate, worker: Worker, client: socket.socket
) -> None:
    worker.fails = True
    assert route(gate, client, "open") is LoginStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(
    ("name", "host", "shown"),
    [
        (PC, NEAR.host, ["open", "near", "pcs", "locked"]),
        (PC, FAR.host, ["open", "pcs"]),
        ("iqn.2026-11.net.example:mac", FAR.host, ["open"]),
    ],
)
def test_discovery_shows_what_one_may_use(gate: Gate, name: str, host: str, shown: list[str]) -> None:
    visible = gate.directory(HERE, host).visible(name)
    assert [target for target, _ in visible] == [PREFIX + each for each in shown]
    assert all(addresses == ["10.0.0.5:3260,1"] for _, addresses in visible)
