"""Admission at the end of a login, and the end of a connection."""

import pytest

from tests.support.initiator import Initiator
from tests.unit.iscsi.support import POLICY, TARGET, Link, target
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import Event, LoggedIn
from twinlock.wire.iscsi_codes import LoginStatus


def log_in(initiator: Initiator, connection: TargetConnection) -> list[Event]:
    """Run a login, and leave its last response in the target's output."""
    initiator.login()
    while True:
        events = connection.receive(initiator.take_output())
        if events:
            return events
        initiator.receive(b"".join(connection.take_output()))


@pytest.mark.parametrize("status", [LoginStatus.TOO_MANY_CONNECTIONS, LoginStatus.SERVICE_UNAVAILABLE])
def test_a_session_that_is_not_admitted(status: LoginStatus) -> None:
    initiator, connection = Initiator(TARGET), target()
    (event,) = log_in(initiator, connection)
    assert isinstance(event, LoggedIn)
    connection.refuse_session(status)
    initiator.receive(b"".join(connection.take_output()))
    assert (initiator.logged_in, initiator.login_status) == (False, status)
    first, last = initiator.replies
    assert last.header.stat_sn == first.header.stat_sn + 1
    assert last.header.tsih == 0
    initiator.nop()
    assert connection.receive(initiator.take_output()) == []
    assert connection.take_output() == []


def test_commands_sent_ahead_of_the_response_are_void() -> None:
    initiator, connection = Initiator(TARGET), target()
    initiator.login()
    initiator.receive(b"".join(connection.take_output()) + b"")
    connection.receive(initiator.take_output())
    initiator.receive(b"".join(connection.take_output()))
    last_request = initiator.take_output()
    task_tag = initiator.command(bytes(16))
    initiator.nop(b"ahead")
    events = connection.receive(last_request + initiator.take_output())
    assert len(events) == 2
    connection.refuse_session()
    initiator.receive(b"".join(connection.take_output()))
    assert initiator.login_status is LoginStatus.TOO_MANY_CONNECTIONS
    assert initiator.outcomes[task_tag].status is None
    assert events[1].task.aborted  # type: ignore[union-attr]


def test_a_login_cannot_be_taken_back_once_it_is_sent() -> None:
    link = Link()
    with pytest.raises(ValueError, match="no login"):
        link.target.refuse_session()
    link.log_in()
    with pytest.raises(ValueError, match="no login"):
        link.target.refuse_session()


def test_no_secret_in_what_is_shown() -> None:
    link = Link(connection=target(POLICY))
    link.initiator.login()
    shown = f"{link.run()!r} {vars(link.target)!r} {link.target!r}"
    assert "secret 1" not in shown
    assert "secret 2" not in shown
