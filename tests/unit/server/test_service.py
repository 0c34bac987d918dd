"""A volume's door: who is let in, who waits, who is counted, and how many there may be."""

import logging
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from tests.support.initiator import Credentials
from tests.support.rig import MAC, PC, Peer, Rig, eventually
from twinlock.server import connection
from twinlock.server.lobby import MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS
from twinlock.server.messages import Chap
from twinlock.server.throttle import FIRST_DELAY
from twinlock.wire.iscsi_codes import LoginStatus
from twinlock.wire.iscsi_responses import NopIn

SECRET, WRONG = "a long secret 1", "another guess 2"
HERE, THERE = "192.0.2.1", "192.0.2.2"
OWNER = Credentials("owner", SECRET.encode())
GUESSER = Credentials("owner", WRONG.encode())


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig(chap=Chap(user="owner", secret=SecretStr(SECRET))) as made:
        yield made


def guess(rig: Rig, address: str = HERE) -> Peer:
    """A login with a wrong secret, to its end."""
    peer = rig.connect(address=address, credentials=GUESSER)
    peer.finish_login()
    assert peer.status is LoginStatus.AUTHENTICATION_FAILURE
    return peer


# -- wrong secrets ------------------------------------------------------------------------------------


def test_after_a_wrong_secret_the_address_has_to_wait(rig: Rig) -> None:
    guess(rig)
    owner = rig.attempt(MAC, address=HERE, credentials=OWNER)
    rig.timer.await_sleepers()
    assert owner.status is None
    rig.clock += FIRST_DELAY
    rig.timer.advance(FIRST_DELAY)
    owner.join()
    assert owner.status is LoginStatus.SUCCESS
    assert rig.service.status().failed_logins == (), "success makes up for it"


def test_another_address_does_not_wait(rig: Rig) -> None:
    guess(rig)
    assert rig.log_in(address=THERE, credentials=OWNER).protocol.logged_in


def test_wrong_secrets_are_counted_in_the_status(rig: Rig) -> None:
    for address in (HERE, THERE, HERE):
        rig.clock += 60
        guess(rig, address)
    found = [(each.address, each.count, each.last) for each in rig.service.status().failed_logins]
    assert found == [(HERE, 2, rig.clock), (THERE, 1, rig.clock - 60)]


def test_the_log_counts_and_keeps_secrets(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        guess(rig)
    assert f"a login from {HERE} did not prove who it is (1 so far)" in caplog.text
    assert SECRET not in caplog.text
    assert WRONG not in caplog.text


def test_a_login_without_chap_counts_as_well(rig: Rig) -> None:
    peer = rig.connect(address=HERE)
    peer.finish_login()
    assert peer.status is LoginStatus.AUTHENTICATION_FAILURE
    assert [each.count for each in rig.service.status().failed_logins] == [1]


def test_who_waits_at_the_gate_is_a_stranger_that_can_be_sent_away(rig: Rig) -> None:
    guess(rig)
    waiting = [rig.connect(address=HERE, credentials=OWNER) for _ in range(MAX_STRANGERS_PER_ADDRESS + 1)]
    eventually(lambda: rig.timer._sleepers)
    rig.timer.advance(1)
    assert waiting[0].is_closed()


# -- limits -------------------------------------------------------------------------------------------


def stranger(rig: Rig, address: str) -> Peer:
    """A connection whose login goes on without end."""
    peer = rig.connect(address=address, credentials=OWNER)
    assert peer.sock.recv(4096), "the target has begun, and waits for the next request"
    return peer


def test_strangers_of_one_address_are_bounded(rig: Rig) -> None:
    strangers = [stranger(rig, HERE) for _ in range(MAX_STRANGERS_PER_ADDRESS)]
    stranger(rig, HERE)
    assert strangers[0].is_closed()
    assert len(rig.service._lobby.all()) <= MAX_STRANGERS_PER_ADDRESS + 1


def test_strangers_in_all_are_bounded_and_the_owner_gets_in(rig: Rig) -> None:
    for number in range(3 * MAX_STRANGERS):
        stranger(rig, f"192.0.2.{number}")
    eventually(lambda: len(rig.service._lobby.all()) <= MAX_STRANGERS)
    assert rig.log_in(address="198.51.100.1", credentials=OWNER).protocol.logged_in


def test_a_login_has_to_come_to_an_end(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.2)
    assert stranger(rig, HERE).is_closed()
    eventually(lambda: not rig.service._lobby.all())


def test_a_session_may_be_silent_for_longer_than_a_login(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never closed because of idle silence alone: machines sleep, and patience costs nothing."""
    monkeypatch.setattr(connection, "LOGIN_SECONDS", 0.2)
    holder = rig.log_in(credentials=OWNER)
    holder.sock.settimeout(0.5)
    assert not holder.is_closed()
    assert not holder.answers(NopIn), "nor is it pinged"
    holder.sock.settimeout(20)
    assert holder.execute(bytes(16)).status == 0


# -- allow-lists --------------------------------------------------------------------------------------


def test_an_initiator_that_is_not_on_the_list_is_refused_once_it_has_proved_itself() -> None:
    with Rig(initiators=(MAC,), chap=Chap(user="owner", secret=SecretStr(SECRET))) as rig:
        stranger = rig.connect(PC, credentials=OWNER)
        stranger.finish_login()
        assert stranger.status is LoginStatus.AUTHORIZATION_FAILURE
        guesser = rig.connect(PC, credentials=GUESSER)
        guesser.finish_login()
        assert guesser.status is LoginStatus.AUTHENTICATION_FAILURE, "it does not learn who is on the list"
    with Rig(initiators=(MAC.upper(),)) as rig:
        assert rig.log_in(MAC).protocol.logged_in


@pytest.mark.parametrize(
    ("address", "status"),
    [(HERE, LoginStatus.SUCCESS), ("198.51.100.1", LoginStatus.AUTHORIZATION_FAILURE)],
)
def test_a_network_that_is_not_on_the_list_is_refused(address: str, status: LoginStatus) -> None:
    with Rig(networks=("192.0.2.0/24",)) as rig:
        peer = rig.connect(address=address)
        peer.finish_login()
        assert peer.status is status


def test_one_that_is_refused_evicts_nobody() -> None:
    with Rig(initiators=(MAC,)) as rig:
        holder = rig.log_in(MAC)
        stranger = rig.connect(PC)
        stranger.finish_login()
        assert stranger.status is LoginStatus.AUTHORIZATION_FAILURE
        assert holder.execute(bytes(16)).status == 0


# -- status -------------------------------------------------------------------------------------------


def test_the_status_lists_every_session_and_where_it_comes_from() -> None:
    with Rig(shared=True) as rig:
        rig.log_in(MAC, address=HERE)
        rig.log_in(PC, address=THERE)
        found = [(each.initiator, each.peer.rpartition(":")[0]) for each in rig.service.status().sessions]
    assert found == [(MAC, HERE), (PC, THERE)]


def test_a_session_that_has_ended_is_not_listed() -> None:
    with Rig() as rig:
        rig.log_in(MAC).reset()
        eventually(lambda: rig.sessions() == [])
