"""How a worker answers when things go wrong."""

import socket
from collections.abc import Iterator

import pytest

from twinlock import errors
from twinlock.server import control
from twinlock.server.messages import Envelope, Hello, Identity, Open, Stop, VolumeSpec
from twinlock.server.service import Service
from twinlock.server.worker import Worker


@pytest.fixture
def supervisor() -> Iterator[tuple[Worker, socket.socket]]:
    listening = control.packet_socket()
    listening.bind("")  # an abstract address of the kernel's choice
    worker = Worker(listening)
    ours = control.packet_socket()
    ours.connect(listening.getsockname())
    worker._accept()
    yield worker, ours
    ours.close()
    listening.close()


def ask(worker: Worker, ours: socket.socket, envelope: Envelope) -> Envelope:
    ours.send(control.encode(envelope))
    worker._serve()
    return control.decode(ours.recv(control.MAX_MESSAGE))


class BrokenService:
    """A volume whose last flush fails."""

    def close(self) -> None:
        raise errors.WriteFailed("member 0: input/output error")


def test_a_close_that_could_not_flush_is_not_called_clean(supervisor: tuple[Worker, socket.socket]) -> None:
    worker, ours = supervisor
    worker._service = BrokenService()  # type: ignore[assignment]
    reply = ask(worker, ours, Envelope(id=1, request=Stop()))
    assert reply.error is not None
    error = errors.rebuild(reply.error)
    assert isinstance(error, errors.NotClosedCleanly)
    assert "input/output error" in str(error)


def test_a_member_that_fails_while_the_volume_is_opened(
    supervisor: tuple[Worker, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Service:
        raise errors.MediumError("member 0: input/output error")

    monkeypatch.setattr(Service, "open", fail)
    worker, ours = supervisor
    spec = VolumeSpec(name="backup", members=("/x",), target="iqn.2026-11.net.example:backup")
    reply = ask(worker, ours, Envelope(id=1, request=Open(spec=spec, derivation_lock="/lock")))
    assert reply.error is not None
    error = errors.rebuild(reply.error)
    assert isinstance(error, errors.NoMemberUsable)
    assert "'backup' cannot start: member 0: input/output error" in str(error)


def test_a_worker_that_is_not_fit_says_why_to_everybody(supervisor: tuple[Worker, socket.socket]) -> None:
    worker, ours = supervisor
    worker._failure = errors.SelfTestFailed(reason="AES computes 1 + 1 = 3")
    reply = ask(worker, ours, Envelope(id=1, request=Hello()))
    assert reply.error is not None
    assert isinstance(errors.rebuild(reply.error), errors.SelfTestFailed)


def test_who_is_there(supervisor: tuple[Worker, socket.socket]) -> None:
    worker, ours = supervisor
    reply = ask(worker, ours, Envelope(id=7, request=Hello()))
    assert reply.id == 7
    assert Identity.model_validate(reply.result).volume is None


def test_a_message_that_is_none_drops_the_supervisor(supervisor: tuple[Worker, socket.socket]) -> None:
    worker, ours = supervisor
    ours.send(b'{"id": 1, "request": {"op": "dance"}}')
    worker._serve()
    assert ours.recv(control.MAX_MESSAGE) == b""


def test_it_notices_who_asked_is_gone(supervisor: tuple[Worker, socket.socket]) -> None:
    worker, ours = supervisor
    assert worker._has_supervisor()
    ours.close()
    assert not worker._has_supervisor()
