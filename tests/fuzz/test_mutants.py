"""Targets that are wrong in one place, and sequences that find it out, through all layers."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.fuzz import entries, house, served
from tests.fuzz.bench import Owner
from tests.fuzz.choices import drawn
from tests.fuzz.disk import SharedDisk
from tests.fuzz.oracle.rules import Broken, Leaked
from twinlock.iscsi.connection import TargetConnection
from twinlock.scsi.target import ScsiTarget
from twinlock.server.lobby import Lobby
from twinlock.server.output import Output
from twinlock.server.service import Service

INPUTS = 40
Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _no_houses() -> Iterator[None]:
    """What is broken on purpose is not there for the next test."""
    entries._houses.clear()
    yield
    entries._houses.clear()


def found_in(entry: str, kind: type[Exception], what: str) -> None:
    """Some of the seeds find ``kind``."""
    with pytest.raises(kind, match=what):
        play_all(entry)


def play_all(entry: str) -> None:
    for number in range(INPUTS):
        entries.ENTRIES[entry](drawn(f"mutant {number}"))


def sometimes(function: Callable[..., Any], instead: Callable[..., Any], every: int) -> Callable[..., Any]:
    """``function``, but ``instead`` at every so many calls."""
    calls = 0

    def changed(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return (function if calls % every else instead)(*args, **options)

    return changed


def test_unchanged_they_find_nothing() -> None:
    play_all("session")


def test_an_exception_that_gets_through(monkeypatch: Patch) -> None:
    def fails(*_args: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(ScsiTarget, "start", sometimes(ScsiTarget.start, fails, 50))
    found_in("session", KeyError, "a bug")


def test_a_task_that_is_never_answered(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Owner, "_complete", sometimes(Owner._complete, lambda *_: None, 20))
    found_in("session", Broken, "never answered")


def test_what_is_said_twice(monkeypatch: Patch) -> None:
    take = TargetConnection.take_output
    monkeypatch.setattr(
        TargetConnection,
        "take_output",
        sometimes(take, lambda connection, maximum=None: take(connection, maximum) * 2, 30),
    )
    found_in("session", Broken, "StatSN|no request|no task|nobody asked")


def test_output_that_is_lost(monkeypatch: Patch) -> None:
    take = TargetConnection.take_output
    monkeypatch.setattr(
        TargetConnection,
        "take_output",
        sometimes(take, lambda connection, maximum=None: take(connection, maximum)[1:], 30),
    )
    found_in("session", Broken, "StatSN|never answered|came|inside|opcode")


def test_a_table_that_grows(monkeypatch: Patch) -> None:
    def hoards(target: ScsiTarget, nexus: Any) -> None:
        target.hoard = [*getattr(target, "hoard", ()), *range(100)]  # type: ignore[attr-defined]

    monkeypatch.setattr(ScsiTarget, "nexus_lost", hoards)
    found_in("session", Leaked, "entries")


def test_a_neighbour_that_is_harmed(monkeypatch: Patch) -> None:
    monkeypatch.setattr(SharedDisk, "read", lambda disk, offset, length: bytes(length))
    monkeypatch.setattr(SharedDisk, "read_nowait", lambda disk, offset, length: bytes(length))
    found_in("session", Broken, "something else than it wrote")


def test_a_session_that_stays_in_the_registry(monkeypatch: Patch) -> None:
    monkeypatch.setattr(house, "LEAK_SECONDS", 0.5)
    monkeypatch.setattr(Lobby, "leave", lambda *_: None)
    found_in("served", Leaked, "sessions")


def test_a_socket_that_stays_open(monkeypatch: Patch) -> None:
    kept: list[socket.socket] = []
    serve = Service.serve

    def serves(service: Any, sock: socket.socket, first: bytes, peer: str) -> None:
        kept.append(sock.dup())
        serve(service, sock, first, peer)

    monkeypatch.setattr(house, "LEAK_SECONDS", 0.5)
    monkeypatch.setattr(Service, "serve", serves)
    found_in("served", Leaked, "files")
    for sock in kept:
        sock.close()


def test_a_bug_that_the_server_survives(monkeypatch: Patch) -> None:
    def fails(*_args: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(ScsiTarget, "start", sometimes(ScsiTarget.start, fails, 50))
    found_in("served", Broken, "a bug")


def test_an_answer_that_the_server_keeps_back(monkeypatch: Patch) -> None:
    monkeypatch.setattr(served, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(Output, "send", sometimes(Output.send, lambda *_: None, 5))
    found_in("served", Broken, "does not come|in vain")
