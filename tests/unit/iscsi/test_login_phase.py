import itertools
from typing import Any

import pytest

from tests.support.initiator import Credentials, Initiator, keys_of, pdu, text_of
from tests.unit.iscsi.support import CREDENTIALS, MUTUAL, OTHER, POLICY, TARGET, Link, target
from twinlock.iscsi import limits
from twinlock.iscsi.chap import ChapPolicy, Secret
from twinlock.iscsi.connection import TargetConnection
from twinlock.iscsi.events import Discovered, LoggedIn, ProtocolFailure
from twinlock.iscsi.session import SessionType
from twinlock.wire.iscsi_codes import LoginStatus, Stage
from twinlock.wire.iscsi_requests import LoginRequest, NopOut

NAMES = {"InitiatorName": "iqn.2026-11.example:initiator", "TargetName": TARGET}
ISID = b"\x80\x00\x00\x00\x00\x01"


class Rounds:
    """Login requests written by hand; each returns the response's header and keys."""

    def __init__(self, connection: TargetConnection | None = None) -> None:
        self.target = connection or target()
        self.events: list[Any] = []

    def send(
        self, keys: dict[str, str] | bytes, stage: int = 0, following: int | None = None, **fields: Any
    ) -> tuple[Any, dict[str, str]]:
        text = keys if isinstance(keys, bytes) else text_of(keys)
        header = LoginRequest(
            transit=following is not None,
            current_stage=stage,
            next_stage=following or 0,
            isid=ISID,
            initiator_task_tag=5,
            cid=1,
            cmd_sn=100,
        )
        self.events = self.target.receive(pdu(header.replace(**fields), text))
        initiator = Initiator(TARGET)
        initiator._stage = Stage.FULL_FEATURE  # only parse what comes, answer nothing
        initiator._login_response = lambda *_: None  # type: ignore[method-assign]
        (reply,) = initiator.receive(b"".join(self.target.take_output()))
        return reply.header, keys_of(reply.data)

    def status(self, *arguments: Any, **fields: Any) -> LoginStatus:
        """Send what must be refused; the event says the same as the response."""
        header, keys = self.send(*arguments, **fields)
        (failure,) = self.events
        assert isinstance(failure, ProtocolFailure)
        assert failure.status == header.status
        assert keys == {}
        assert self.target.receive(pdu(LoginRequest(cmd_sn=1))) == []
        return LoginStatus(header.status)


# -- the usual ways in ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 7, 1 << 30])
def test_a_login_without_authentication(step: int) -> None:
    link = Link(step=step)
    session = link.log_in()
    assert link.initiator.logged_in
    assert (session.initiator_name, session.target_name) == ("iqn.2026-11.example:initiator", TARGET)
    assert (session.isid, session.tsih, session.user) == (ISID, 7, None)
    assert session.session_type is SessionType.NORMAL
    negotiated = link.initiator.negotiated
    assert negotiated["TargetPortalGroupTag"] == "1"
    assert negotiated["TargetAlias"] == "backup"
    assert negotiated["MaxRecvDataSegmentLength"] == "262144"
    assert session.parameters.initiator_data_segment == 262144


@pytest.mark.parametrize("algorithms", ["5", "6", "7", "8", "5,6,7,8"])
@pytest.mark.parametrize("mutual", [False, True])
def test_a_login_with_chap(algorithms: str, mutual: bool) -> None:
    kind = MUTUAL if mutual else CREDENTIALS
    credentials = Credentials(**(vars(kind) | {"algorithms": algorithms}))
    link = Link(Initiator(TARGET, credentials=credentials), target(POLICY))
    assert link.log_in().user == "owner"
    assert link.initiator.target_proved_itself is mutual


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("owner", b"a wrong secret!"),
        Credentials("other", b"a long secret 1"),
        Credentials("owner", b"a long secret 1", algorithms="4"),
        None,
    ],
)
def test_a_login_that_chap_forbids(credentials: Credentials | None) -> None:
    link = Link(Initiator(TARGET, credentials=credentials), target(POLICY))
    link.initiator.login()
    assert link.failure().status is LoginStatus.AUTHENTICATION_FAILURE
    assert link.initiator.login_status is LoginStatus.AUTHENTICATION_FAILURE


def test_straight_to_the_full_feature_phase() -> None:
    rounds = Rounds()
    header, keys = rounds.send(NAMES | {"AuthMethod": "None"}, 0, 3)
    assert (header.transit, header.next_stage, header.tsih) == (True, 3, 7)
    assert keys["AuthMethod"] == "None"
    assert isinstance(rounds.events[0], LoggedIn)


def test_beginning_with_operational_parameters() -> None:
    rounds = Rounds()
    header, keys = rounds.send(NAMES | {"MaxBurstLength": "4096", "InitialR2T": "No"}, 1, 3)
    assert (header.transit, header.current_stage, header.tsih) == (True, 1, 7)
    assert (keys["MaxBurstLength"], keys["InitialR2T"]) == ("4096", "Yes")


def test_numbers_in_the_responses() -> None:
    rounds = Rounds()
    first, _ = rounds.send(NAMES, 0)
    second, _ = rounds.send({}, 0, 1)
    third, _ = rounds.send({}, 1, 3)
    assert [header.stat_sn for header in (first, second, third)] == [1, 2, 3]
    assert {(header.exp_cmd_sn, header.max_cmd_sn) for header in (first, second, third)} == {(100, 227)}
    assert [header.tsih for header in (first, second, third)] == [0, 0, 7]
    assert {header.initiator_task_tag for header in (first, second, third)} == {5}
    assert {header.isid for header in (first, second, third)} == {ISID}


# -- initiators that do it their own way --------------------------------------------------------------


def test_the_transit_bit_on_every_request() -> None:
    """It is granted only when the stage has nothing left to do."""
    link = Link(Initiator(TARGET, credentials=MUTUAL), target(POLICY))
    link.initiator.always_transit = True
    assert link.log_in().user == "owner"


def test_names_in_every_request() -> None:
    rounds = Rounds()
    rounds.send(NAMES | {"SessionType": "Normal"}, 0)
    rounds.send(NAMES, 0, 1)
    header, _ = rounds.send(NAMES | {"SessionType": "Normal"}, 1, 3)
    assert header.tsih == 7


def test_chap_in_the_first_request() -> None:
    rounds = Rounds(target(POLICY))
    header, keys = rounds.send(NAMES | {"AuthMethod": "CHAP", "CHAP_A": "7"}, 0, 1)
    assert not header.transit
    assert (keys["AuthMethod"], keys["CHAP_A"]) == ("CHAP", "7")
    assert keys["CHAP_C"].startswith("0x")


def test_chap_only_where_none_is_wanted() -> None:
    assert Rounds().status(NAMES | {"AuthMethod": "CHAP"}) is LoginStatus.AUTHENTICATION_FAILURE


def test_a_text_in_pieces_of_any_size() -> None:
    text = text_of(NAMES | {"MaxBurstLength": "4096"})
    for size in (1, 10, 100):
        rounds = Rounds()
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        if len(pieces) > limits.LOGIN_ROUNDS:
            continue
        for piece in pieces[:-1]:
            header, keys = rounds.send(piece, 1, more=True)
            assert (header.transit, header.more, keys) == (False, False, {})
        _, keys = rounds.send(pieces[-1], 1, 3)
        assert keys["MaxBurstLength"] == "4096"


def test_operational_parameters_over_several_requests() -> None:
    rounds = Rounds()
    _, first = rounds.send(NAMES | {"MaxBurstLength": "4096"}, 1)
    _, second = rounds.send({"FirstBurstLength": "1024"}, 1)
    _, third = rounds.send({"X-odd": "1"}, 1, 3)
    assert "MaxRecvDataSegmentLength" in first
    assert second == {"FirstBurstLength": "1024"}
    assert third == {"X-odd": "NotUnderstood"}
    assert rounds.events[0].session.parameters.max_burst_length == 4096


# -- refusals ---------------------------------------------------------------------------------------

REFUSED: list[tuple[LoginStatus, dict[str, str] | bytes, dict[str, Any]]] = [
    (LoginStatus.MISSING_PARAMETER, {"TargetName": TARGET}, {}),
    (LoginStatus.MISSING_PARAMETER, {"InitiatorName": "", "TargetName": TARGET}, {}),
    (LoginStatus.MISSING_PARAMETER, {"InitiatorName": "iqn.a"}, {}),
    (LoginStatus.TARGET_NOT_FOUND, NAMES | {"TargetName": "iqn.other"}, {}),
    (LoginStatus.SERVICE_UNAVAILABLE, NAMES | {"TargetName": OTHER}, {}),
    (LoginStatus.SESSION_TYPE_NOT_SUPPORTED, NAMES | {"SessionType": "Odd"}, {}),
    (LoginStatus.UNSUPPORTED_VERSION, NAMES, {"version_min": 1, "version_max": 1}),
    (LoginStatus.SESSION_DOES_NOT_EXIST, NAMES, {"tsih": 3}),
    (LoginStatus.INITIATOR_ERROR, NAMES | {"InitiatorName": "i" * 224}, {}),
    (LoginStatus.INITIATOR_ERROR, NAMES, {"current_stage": 3}),
    (LoginStatus.INITIATOR_ERROR, NAMES, {"current_stage": 2}),
    (LoginStatus.INITIATOR_ERROR, NAMES, {"transit": True, "more": True, "next_stage": 1}),
    (LoginStatus.INITIATOR_ERROR, b"InitiatorName\0", {}),
    (LoginStatus.INITIATOR_ERROR, b"A=1\0A=2\0", {}),
    (LoginStatus.INITIATOR_ERROR, NAMES | {"CHAP_A": "5"}, {}),
]


@pytest.mark.parametrize(("status", "keys", "fields"), REFUSED)
def test_refused_at_once(status: LoginStatus, keys: dict[str, str] | bytes, fields: dict[str, Any]) -> None:
    assert Rounds().status(keys, **fields) is status


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        (NAMES | {"InitiatorName": "iqn.other"}, {}),
        ({"TargetName": OTHER}, {}),
        ({"SessionType": "Discovery"}, {}),
        ({}, {"isid": b"other!"}),
        ({}, {"cid": 9}),
        ({}, {"tsih": 7}),
        ({}, {"current_stage": 1}),
    ],
)
def test_what_must_not_change_during_a_login(keys: dict[str, str], fields: dict[str, Any]) -> None:
    rounds = Rounds()
    rounds.send(NAMES, 0)
    assert rounds.status(keys, 0, **fields) is LoginStatus.INITIATOR_ERROR


@pytest.mark.parametrize(("stage", "following"), list(itertools.product([0, 1], range(4))))
def test_every_transition(stage: int, following: int) -> None:
    rounds = Rounds()
    if (stage, following) in {(0, 1), (0, 3), (1, 3)}:
        header, _ = rounds.send(NAMES, stage, following)
        assert (header.transit, header.current_stage, header.next_stage) == (True, stage, following)
    else:
        assert rounds.status(NAMES, stage, following) is LoginStatus.INITIATOR_ERROR


@pytest.mark.parametrize(("stage", "following"), [(0, 1), (0, 3), (1, 3), (1, None)])
def test_no_way_around_chap(stage: int, following: int | None) -> None:
    rounds = Rounds(target(POLICY))
    assert rounds.status(NAMES, stage, following) is LoginStatus.AUTHENTICATION_FAILURE


@pytest.mark.parametrize("offered", ["None", "KRB5,None", "", "chap"])
def test_a_method_that_is_not_chap(offered: str) -> None:
    rounds = Rounds(target(POLICY))
    assert rounds.status(NAMES | {"AuthMethod": offered}) is LoginStatus.AUTHENTICATION_FAILURE


def test_a_transition_before_the_proof_is_not_granted() -> None:
    rounds = Rounds(target(POLICY))
    rounds.send(NAMES | {"AuthMethod": "CHAP"}, 0, 3)
    header, _ = rounds.send({"CHAP_A": "5"}, 0, 3)
    assert not header.transit
    header, _ = rounds.send({}, 0, 3)
    assert (header.transit, rounds.events) == (False, [])
    assert rounds.status({}, 1, 3) is LoginStatus.INITIATOR_ERROR


def test_the_method_is_chosen_once() -> None:
    rounds = Rounds(target(POLICY))
    rounds.send(NAMES | {"AuthMethod": "CHAP"})
    assert rounds.status({"AuthMethod": "CHAP"}) is LoginStatus.INITIATOR_ERROR


def test_a_key_negotiated_twice() -> None:
    rounds = Rounds()
    rounds.send(NAMES | {"MaxBurstLength": "4096"}, 1)
    assert rounds.status({"MaxBurstLength": "4096"}, 1) is LoginStatus.INITIATOR_ERROR


def test_a_login_that_does_not_end() -> None:
    rounds = Rounds()
    rounds.send(NAMES, 0)
    for _ in range(limits.LOGIN_ROUNDS - 1):
        rounds.send({}, 0)
        assert rounds.events == []
    assert rounds.status({}, 0) is LoginStatus.INITIATOR_ERROR


def test_a_text_that_does_not_end() -> None:
    rounds = Rounds()
    for _ in range(limits.NEGOTIATION_TEXT // 8000):
        rounds.send(b"x" * 8000, 0, more=True)
    assert rounds.status(b"x" * 8000, 0, more=True) is LoginStatus.INITIATOR_ERROR


def test_answers_fit_into_one_data_segment() -> None:
    odd = {f"X{number:062}": "1" for number in range(limits.TEXT_KEYS - len(NAMES))}
    rounds = Rounds()
    header, keys = rounds.send(NAMES | odd, 1, 3)
    assert header.data_segment_length <= limits.LOGIN_DATA_SEGMENT
    assert odd.keys() <= keys.keys()


def test_another_pdu_during_login() -> None:
    rounds = Rounds()
    rounds.send(NAMES, 0)
    (failure,) = rounds.target.receive(pdu(NopOut(initiator_task_tag=1, cmd_sn=100)))
    assert isinstance(failure, ProtocolFailure)
    assert failure.status is LoginStatus.INVALID_DURING_LOGIN


# -- discovery --------------------------------------------------------------------------------------


def test_a_discovery_session() -> None:
    link = Link(Initiator(None))
    session = link.log_in()
    assert (session.session_type, session.target_name) == (SessionType.DISCOVERY, None)
    assert link.initiator.negotiated["MaxRecvDataSegmentLength"] == "8192"
    assert link.initiator.negotiated["MaxBurstLength"] == "Irrelevant"
    assert "TargetPortalGroupTag" not in link.initiator.negotiated


def test_discovery_with_authentication() -> None:
    policy = ChapPolicy("finder", Secret("secret of finder"))
    link = Link(
        Initiator(None, credentials=Credentials("finder", b"secret of finder")),
        target(discovery_authentication=policy),
    )
    assert link.log_in().user == "finder"
    stranger = Link(Initiator(None), target(discovery_authentication=policy))
    stranger.initiator.login()
    assert stranger.failure().status is LoginStatus.AUTHENTICATION_FAILURE


# -- who may log in ---------------------------------------------------------------------------------


def only(*names: str) -> Any:
    return lambda initiator_name: initiator_name in names


@pytest.mark.parametrize("policy", [None, POLICY])
@pytest.mark.parametrize("permitted", [True, False])
def test_a_list_of_initiators(policy: ChapPolicy | None, permitted: bool) -> None:
    permits = only(NAMES["InitiatorName"] if permitted else "iqn.another")
    link = Link(
        Initiator(TARGET, credentials=CREDENTIALS if policy else None), target(policy, permits=permits)
    )
    if permitted:
        link.log_in()
        return
    link.initiator.login()
    assert link.failure().status is LoginStatus.AUTHORIZATION_FAILURE
    assert link.initiator.login_status is LoginStatus.AUTHORIZATION_FAILURE


def test_the_list_is_no_help_to_those_without_the_secret() -> None:
    """Whether a name is on it shows only to whoever has proved to know the secret."""
    asked: list[str] = []

    def permits(name: str) -> bool:
        asked.append(name)
        return False

    wrong = Credentials("owner", b"a wrong secret!")
    link = Link(Initiator(TARGET, credentials=wrong), target(POLICY, permits=permits))
    link.initiator.login()
    assert link.failure().status is LoginStatus.AUTHENTICATION_FAILURE
    assert asked == []


@pytest.mark.parametrize(("stage", "following"), [(0, 1), (0, 3), (1, 3)])
def test_no_way_around_the_list(stage: int, following: int) -> None:
    rounds = Rounds(target(permits=only()))
    assert rounds.status(NAMES, stage, following) is LoginStatus.AUTHORIZATION_FAILURE


def test_discovery_asks_no_targets_list() -> None:
    Link(Initiator(None), target(permits=only())).log_in()


# -- discovery with authentication, through and through -----------------------------------------------

FINDER = ChapPolicy("finder", Secret("secret of finder"), "portal", Secret("secret of portal"))


@pytest.mark.parametrize("algorithms", ["5", "6", "7", "8", "5,6,7,8"])
@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("always_transit", [False, True])
def test_discovery_by_chap(algorithms: str, mutual: bool, always_transit: bool) -> None:
    other = ("portal", b"secret of portal") if mutual else ("", b"")
    credentials = Credentials("finder", b"secret of finder", *other, algorithms=algorithms)
    link = Link(Initiator(None, credentials=credentials), target(discovery_authentication=FINDER))
    link.initiator.always_transit = always_transit
    session = link.log_in()
    assert (session.session_type, session.user) == (SessionType.DISCOVERY, "finder")
    assert link.initiator.target_proved_itself is mutual
    link.initiator.text({"SendTargets": "All"})
    (found,) = link.run()
    assert found == Discovered(NAMES["InitiatorName"], (TARGET, OTHER))
    assert TARGET.encode() in link.initiator.replies[-1].data


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        Credentials("finder", b"a wrong secret!!"),
        Credentials("owner", b"secret of finder"),
        CREDENTIALS,
        Credentials("finder", b"secret of finder", "portal", b"wrong, but not ours to judge", algorithms="4"),
    ],
)
def test_discovery_that_chap_forbids(credentials: Credentials | None) -> None:
    link = Link(Initiator(None, credentials=credentials), target(POLICY, discovery_authentication=FINDER))
    link.initiator.login()
    assert link.failure().status is LoginStatus.AUTHENTICATION_FAILURE
    link.initiator.text({"SendTargets": "All"})
    assert link.run() == []
    assert TARGET.encode() not in b"".join(reply.data for reply in link.initiator.replies)


@pytest.mark.parametrize(("stage", "following"), [(0, 1), (0, 3), (1, 3), (1, None)])
def test_no_way_around_chap_to_discovery(stage: int, following: int | None) -> None:
    rounds = Rounds(target(discovery_authentication=FINDER))
    keys = {"InitiatorName": "iqn.a", "SessionType": "Discovery"}
    assert rounds.status(keys, stage, following) is LoginStatus.AUTHENTICATION_FAILURE


def test_the_credentials_of_discovery_open_no_target() -> None:
    credentials = Credentials("finder", b"secret of finder")
    link = Link(Initiator(TARGET, credentials=credentials), target(POLICY, discovery_authentication=FINDER))
    link.initiator.login()
    assert link.failure().status is LoginStatus.AUTHENTICATION_FAILURE


def test_discovery_may_not_be_turned_into_a_normal_session() -> None:
    rounds = Rounds(target(POLICY))
    rounds.send({"InitiatorName": "iqn.a", "SessionType": "Discovery"}, 0)
    assert rounds.status({"SessionType": "Normal", "TargetName": TARGET}, 0) is LoginStatus.INITIATOR_ERROR


# -- more habits of initiators ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["0xabcdef", "0bABCD", "0Xnot hexadecimal", "0b"])
def test_names_that_begin_like_numbers(name: str) -> None:
    """They are texts all the same: in CHAP_N, in InitiatorName and in InitiatorAlias."""
    policy = ChapPolicy(name, Secret("a long secret 1"))
    initiator = Initiator(TARGET, name=name, credentials=Credentials(name, b"a long secret 1"))
    session = Link(initiator, target(policy)).log_in()
    assert (session.user, session.initiator_name) == (name, name)


def test_a_list_of_algorithms_with_unknown_ones() -> None:
    rounds = Rounds(target(POLICY))
    rounds.send(NAMES | {"AuthMethod": "CHAP,None"}, 0, 1)
    _, keys = rounds.send({"CHAP_A": "255,0x5,7,99"}, 0, 1)
    assert keys["CHAP_A"] == "7"


@pytest.mark.parametrize("offered", ["CHAP", "CHAP,None", "None,CHAP", "KRB5,SRP,CHAP"])
def test_methods_in_any_order(offered: str) -> None:
    rounds = Rounds(target(POLICY))
    _, keys = rounds.send(NAMES | {"AuthMethod": offered}, 0)
    assert keys["AuthMethod"] == "CHAP"


@pytest.mark.parametrize("value", ["0x" + "00" * 1025, "0b" + "A" * 1400, "0x" + "0" * 2048 + "1"])
def test_an_oversize_chap_response_ends_the_login(value: str) -> None:
    rounds = Rounds(target(POLICY))
    rounds.send(NAMES | {"AuthMethod": "CHAP", "CHAP_A": "5"}, 0)
    status = rounds.status({"CHAP_N": "owner", "CHAP_R": value}, 0)
    assert status in (LoginStatus.AUTHENTICATION_FAILURE, LoginStatus.INITIATOR_ERROR)


def test_a_reflected_challenge_ends_the_login() -> None:
    link = Link(Initiator(TARGET, credentials=MUTUAL), target(POLICY))
    reflect = link.initiator._answer_challenge

    def reflected(keys: dict[str, str]) -> None:
        link.initiator._mutual_challenge = bytes.fromhex(keys["CHAP_C"][2:])
        reflect(keys)

    link.initiator._answer_challenge = reflected  # type: ignore[method-assign]
    link.initiator.login()
    assert link.failure().status is LoginStatus.AUTHENTICATION_FAILURE
    assert "CHAP_R" not in link.initiator.negotiated
