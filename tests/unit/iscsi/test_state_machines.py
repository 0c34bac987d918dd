"""Every state with every event, in the tables and in the code that follows them."""

import itertools
from typing import Any

import pytest

from scripts.write_state_diagrams import PAGE, page
from tests.support.initiator import Initiator, pdu, text_of
from tests.unit.iscsi.support import POLICY, TARGET, TEST_UNIT_READY, Directory, Link, random_bytes, target
from tests.unit.iscsi.test_chap import proof
from twinlock.iscsi.chap import CHAP, ChapExchange, ChapKeys, ChapState
from twinlock.iscsi.connection import CONNECTION, TargetConnection
from twinlock.iscsi.connection_state import ConnectionEvent, ConnectionState
from twinlock.iscsi.errors import LoginRefused
from twinlock.iscsi.framing import PduReader
from twinlock.iscsi.login_phase import STAGES, LoginPhase, Preferences, Wish
from twinlock.iscsi.machine import StateMachine
from twinlock.iscsi.machines import MACHINES
from twinlock.iscsi.parameters import Parameters
from twinlock.iscsi.task import TASK, Task, TaskAction, TaskEvent, TaskState
from twinlock.iscsi.text_exchange import TEXT, TextEvent, TextExchange, TextState, UnknownTag
from twinlock.wire.iscsi_codes import RESERVED_TAG, LoginStatus, Stage, TaskAttribute
from twinlock.wire.iscsi_requests import LoginRequest, NopOut, TextRequest
from twinlock.wire.iscsi_responses import TextResponse

NAMES = {"InitiatorName": "iqn.a", "TargetName": TARGET}


def pairs(machine: StateMachine[Any, Any, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("state", "event"), list(itertools.product(machine.states, machine.events))
    )


# -- the tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_every_table_is_whole(machine: StateMachine[Any, Any, Any]) -> None:
    assert set(machine.steps) == set(itertools.product(machine.states, machine.events))
    assert {following for following, _ in machine.steps.values()} <= set(machine.states)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_every_state_is_reached(machine: StateMachine[Any, Any, Any]) -> None:
    reached = set(machine.starts)
    while (
        more := {following for (state, _), (following, _) in machine.steps.items() if state in reached}
        - reached
    ):
        reached |= more
    assert reached == set(machine.states)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.title)
def test_what_is_final_stays_so(machine: StateMachine[Any, Any, Any]) -> None:
    beyond = {following for (state, _), (following, _) in machine.steps.items() if state in machine.final}
    assert beyond <= machine.final


def test_the_page_of_diagrams_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run scripts/write_state_diagrams.py"


# -- connections ------------------------------------------------------------------------------------

STAY = LoginRequest(cmd_sn=1)
FINISH = LoginRequest(transit=True, current_stage=1, next_stage=3, cmd_sn=1)
PING = pdu(NopOut(initiator_task_tag=RESERVED_TAG, cmd_sn=1))
TOO_LONG = pdu(NopOut(initiator_task_tag=1, cmd_sn=1), bytes(1 << 19))[:48]


def connection_in(state: ConnectionState) -> TargetConnection:
    connection = target()
    if state is ConnectionState.IN_LOGIN:
        connection.receive(pdu(STAY, text_of(NAMES)))
    elif state is not ConnectionState.XPT_UP:
        connection.receive(pdu(FINISH, text_of(NAMES)))
    if state is ConnectionState.LOGOUT_REQUESTED:
        connection.request_logout(1)
    if state is ConnectionState.IN_LOGOUT:
        initiator = Initiator(TARGET)
        initiator.logout()
        connection.receive(initiator.take_output())
    if state is ConnectionState.FREE:
        connection.receive(TOO_LONG)
    assert connection._state is state
    return connection


def input_for(event: ConnectionEvent) -> tuple[Any, ...]:
    if event in (ConnectionEvent.LOGIN_REQUEST, ConnectionEvent.OTHER_PDU):
        data = pdu(STAY, text_of(NAMES)) if event is ConnectionEvent.LOGIN_REQUEST else PING
        return (next(PduReader(data_segment_limit=8192).feed(data)),)
    if event is ConnectionEvent.TURNED_AWAY:
        return (LoginStatus.TOO_MANY_CONNECTIONS,)
    return (5,) if event is ConnectionEvent.LOGOUT_WANTED else ()


@pairs(CONNECTION)
def test_connections(state: ConnectionState, event: ConnectionEvent) -> None:
    connection = connection_in(state)
    if event is ConnectionEvent.LOGIN_OVER and state is ConnectionState.IN_LOGIN:
        connection.receive(pdu(STAY.replace(transit=True, next_stage=3)))
    elif CONNECTION.steps[state, event][1] is TargetConnection._complain:
        with pytest.raises(ValueError, match="nobody is logged in"):
            connection._step(event, *input_for(event))
    elif state is ConnectionState.XPT_UP and event is ConnectionEvent.OTHER_PDU:
        assert connection.receive(PING)[0].reason.startswith("the first PDU")  # type: ignore[union-attr]
        event = ConnectionEvent.FAILED
    elif state is ConnectionState.IN_LOGIN and event is ConnectionEvent.OTHER_PDU:
        assert connection.receive(PING)[0].status is LoginStatus.INVALID_DURING_LOGIN  # type: ignore[union-attr]
        event = ConnectionEvent.FAILED
    else:
        connection._step(event, *input_for(event))
    assert connection._state is CONNECTION.steps[state, event][0]
    assert connection._ended is (connection._state in CONNECTION.final)


@pytest.mark.parametrize("state", sorted(CONNECTION.final))
def test_a_connection_that_is_over_hears_nothing(state: ConnectionState) -> None:
    connection = connection_in(state)
    connection.take_output()
    for data in (PING, pdu(STAY, text_of(NAMES)), b"garbage" * 100):
        assert connection.receive(data) == []
    connection.ping()
    connection.request_logout(1)
    assert connection.take_output() == []
    assert connection._state is state


# -- stages -----------------------------------------------------------------------------------------

WISHES: dict[Wish, dict[str, int]] = {
    Wish.STAY: {},
    Wish.UNTIMELY: {"transit": 1, "next_stage": 1},
    Wish.UNPROVEN: {"transit": 1, "next_stage": 1},
    Wish.OPERATIONAL: {"transit": 1, "next_stage": 1},
    Wish.FULL_FEATURE: {"transit": 1, "next_stage": 3},
    Wish.NOWHERE: {"transit": 1, "next_stage": 2},
}


def login_in(stage: Stage, wish: Wish) -> LoginPhase:
    """A login in that stage; with CHAP under way, or demanded, if the wish is about that."""
    policy = POLICY if wish in (Wish.UNTIMELY, Wish.UNPROVEN) else None
    phase = LoginPhase(Directory(policy), Preferences(Parameters(), None), random_bytes())
    keys = NAMES | ({"AuthMethod": "CHAP"} if wish is Wish.UNTIMELY else {})
    if stage is Stage.SECURITY or policy is not None:
        phase.step(STAY, text_of(keys))
    else:
        phase.step(FINISH if stage is Stage.FULL_FEATURE else STAY.replace(current_stage=1), text_of(keys))
    phase._stage = stage
    return phase


@pairs(STAGES)
def test_stages(state: Stage, event: Wish) -> None:
    phase = login_in(state, event)
    header = STAY.replace(current_stage=state, **WISHES[event])
    assert phase._wish(header) is event
    following, act = STAGES.steps[state, event]
    if act in (LoginPhase._refuse_stranger, LoginPhase._refuse_transition):
        with pytest.raises(LoginRefused):
            phase._proceed(header, {})
    else:
        assert phase._proceed(header, {}).next_stage == (following if act is LoginPhase._enter else None)
    assert phase._stage is following


# -- CHAP -------------------------------------------------------------------------------------------


def chap_in(state: ChapState) -> tuple[ChapExchange, dict[ChapKeys, dict[str, str]]]:
    """An exchange in that state, and keys of each kind that are right as far as they can be."""
    chap = ChapExchange(POLICY, random_bytes())
    challenge = {"CHAP_A": "7", "CHAP_I": "1", "CHAP_C": "0x00"}
    if state is not ChapState.ALGORITHMS:
        challenge = chap.answer({"CHAP_A": "7"})
    keys = {"CHAP_N": "owner", "CHAP_R": "0x" + proof(challenge).hex()}
    if state is ChapState.DONE:
        chap.answer(keys)
    if state is ChapState.FAILED:
        with pytest.raises(LoginRefused):
            chap.answer({"CHAP_A": "7"})
    assert chap.state is state
    kinds = {
        ChapKeys.NONE: {},
        ChapKeys.ALGORITHMS: {"CHAP_A": "5"},
        ChapKeys.PROOF: keys,
        ChapKeys.PROOF_AND_CHALLENGE: keys | {"CHAP_I": "1", "CHAP_C": "0x1234"},
        ChapKeys.OTHER: {"CHAP_N": "owner"},
    }
    return chap, kinds


@pairs(CHAP)
def test_chap(state: ChapState, event: ChapKeys) -> None:
    chap, keys = chap_in(state)
    following, act = CHAP.steps[state, event]
    if act is ChapExchange._refuse:
        with pytest.raises(LoginRefused):
            chap.answer(keys[event])
    else:
        chap.answer(keys[event])
    assert chap.state is following
    assert chap.done is (following is ChapState.DONE)


@pytest.mark.parametrize("event", [ChapKeys.PROOF, ChapKeys.PROOF_AND_CHALLENGE])
def test_a_wrong_secret_is_the_end_of_chap(event: ChapKeys) -> None:
    chap, keys = chap_in(ChapState.PROOF)
    with pytest.raises(LoginRefused):
        chap.answer(keys[event] | {"CHAP_R": "0x" + bytes(32).hex()})
    assert chap.state is ChapState.FAILED
    with pytest.raises(LoginRefused):
        chap.answer(keys[event])
    assert not chap.done


# -- tasks ------------------------------------------------------------------------------------------


@pairs(TASK)
def test_tasks(state: TaskState, event: TaskEvent) -> None:
    task = Task(1, bytes(8), TEST_UNIT_READY, TaskAttribute.SIMPLE, False, False, False, 0, state=state)
    following, action = TASK.steps[state, event]
    if action is TaskAction.MISUSE:
        with pytest.raises(ValueError, match=state):
            task.happens(event)
    else:
        assert task.happens(event) is action
    assert task.state is following
    assert task.aborted is (following in (TaskState.ABORTED, TaskState.GONE))


# -- text -------------------------------------------------------------------------------------------


class Exchange:
    """A discovery session, and what its text exchange answers."""

    def __init__(self) -> None:
        self.link = Link(Initiator(None, keys={"MaxRecvDataSegmentLength": "512"}), target())
        self.link.log_in()
        feature = self.link.target._full_feature
        assert feature is not None
        self.text: TextExchange = feature._text

    def send(self, keys: dict[str, str], tag: int = RESERVED_TAG, **fields: Any) -> int:
        """Send a request; the transfer tag of the answer."""
        self.link.initiator.text(keys, target_transfer_tag=tag, **fields)
        self.link.run()
        header = self.link.initiator.replies[-1].header
        return header.target_transfer_tag if isinstance(header, TextResponse) else RESERVED_TAG


LONG = {f"X-{number}": "1" for number in range(50)}
SHORT = {"X-key": "1"}


def exchange_in(state: TextState) -> tuple[Exchange, int]:
    """An exchange in that state, and the tag it goes on with."""
    exchange = Exchange()
    tag = RESERVED_TAG
    if state is TextState.COLLECTING:
        tag = exchange.send(SHORT, final=False, more=True)
    elif state is TextState.ANSWERING:
        tag = exchange.send(LONG)
    elif state is TextState.OPEN:
        tag = exchange.send(SHORT, final=False)
    assert exchange.text._state is state
    return exchange, tag


REQUESTS = [
    TextEvent.FIRST_PART,
    TextEvent.FIRST_WHOLE,
    TextEvent.NEXT_PART,
    TextEvent.NEXT_WHOLE,
    TextEvent.STRANGE,
]
SENT = [event for event in TextEvent if event not in REQUESTS]


@pytest.mark.parametrize("event", REQUESTS)
@pytest.mark.parametrize("state", TextState)
def test_text(state: TextState, event: TextEvent) -> None:
    exchange, known = exchange_in(state)
    more = event in (TextEvent.FIRST_PART, TextEvent.NEXT_PART)
    strange = event is TextEvent.STRANGE or known == RESERVED_TAG
    tag = RESERVED_TAG if event in REQUESTS[:2] else 0x7777 if strange else known
    exchange.send({}, tag, final=False, more=more)
    following, act = TEXT.steps[state, event]
    rejects = exchange.link.initiator.rejects
    assert len(rejects) == (act is TextExchange._refuse)
    if following is TextState.ANSWERING and act is not TextExchange._refuse:  # the answer fits, and went out
        following = TEXT.steps[following, TextEvent.ALL_SENT][0]
    assert exchange.text._state is following


@pytest.mark.parametrize("event", SENT)
@pytest.mark.parametrize("state", TextState)
def test_text_that_was_sent(state: TextState, event: TextEvent) -> None:
    exchange, _ = exchange_in(state)
    following, act = TEXT.steps[state, event]
    header = TextRequest(initiator_task_tag=1, cmd_sn=1)
    (pdu_,) = PduReader(data_segment_limit=8192).feed(pdu(header))
    if act is TextExchange._refuse:
        with pytest.raises(UnknownTag):
            exchange.text._step(event, header, pdu_)
    else:
        exchange.text._step(event, header, pdu_)
    assert exchange.text._state is following
