"""ORDERED and HEAD OF QUEUE: a barrier that is none would lose data."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.iscsi.support import CHECK_CONDITION, GOOD, TEST_UNIT_READY, Link, session
from twinlock.iscsi import limits
from twinlock.iscsi.events import CommandReceived, TaskManagementRequested
from twinlock.iscsi.parameters import Parameters
from twinlock.iscsi.task import Task, TaskState
from twinlock.wire.iscsi_codes import TaskAttribute as Attribute
from twinlock.wire.iscsi_codes import TaskManagementFunction as Function
from twinlock.wire.iscsi_responses import R2T

WRITE = b"\x2a" + bytes(15)
LUN1 = b"\0\1" + bytes(6)
SIMPLE, ORDERED, HEAD = Attribute.SIMPLE, Attribute.ORDERED, Attribute.HEAD_OF_QUEUE


class Owner:
    """Knows its tasks by the numbers of their commands, from 0."""

    def __init__(self, link: Link | None = None) -> None:
        self.link = link or session()
        self.tags: list[int] = []
        self.tasks: dict[int, Task] = {}
        self.order: list[int] = []
        self.ended: list[int] = []

    def command(self, attribute: Attribute, **options: Any) -> int:
        self.tags.append(self.link.initiator.command(TEST_UNIT_READY, attribute=attribute, **options))
        return len(self.tags) - 1

    def run(self) -> list[int]:
        """The commands delivered now."""
        tasks = [event.task for event in self.link.run() if isinstance(event, CommandReceived)]
        new = [self.tags.index(task.initiator_task_tag) for task in tasks]
        self.tasks |= dict(zip(new, tasks, strict=True))
        self.order += new
        return new

    def complete(self, number: int) -> list[int]:
        self.link.target.complete(self.tasks[number], status=GOOD, transfer_wanted=0)
        self.ended.append(number)
        return self.run()


def owner_of(*attributes: Attribute) -> Owner:
    owner = Owner()
    for attribute in attributes:
        owner.command(attribute)
    return owner


def test_simple_tasks_start_at_once() -> None:
    owner = owner_of(SIMPLE, Attribute.UNTAGGED, Attribute.ACA, SIMPLE)
    assert owner.run() == [0, 1, 2, 3]


def test_an_ordered_task_waits_for_all_older_ones() -> None:
    owner = owner_of(SIMPLE, SIMPLE, ORDERED)
    assert owner.run() == [0, 1]
    assert owner.complete(1) == []
    assert owner.complete(0) == [2]


def test_later_tasks_wait_for_an_ordered_one() -> None:
    owner = owner_of(ORDERED, SIMPLE, SIMPLE, ORDERED, SIMPLE)
    assert owner.run() == [0]
    assert owner.complete(0) == [1, 2]
    assert owner.complete(2) == []
    assert owner.complete(1) == [3]
    assert owner.complete(3) == [4]


def test_ordered_tasks_run_one_after_another() -> None:
    owner = owner_of(*[ORDERED] * limits.COMMAND_WINDOW)
    assert owner.run() == [0]
    for number in range(limits.COMMAND_WINDOW - 1):
        assert owner.complete(number) == [number + 1]


def test_head_of_queue_waits_for_nothing() -> None:
    owner = owner_of(SIMPLE, ORDERED, HEAD, SIMPLE)
    assert owner.run() == [0, 2]
    assert owner.complete(0) == [1]  # what is younger does not stand in its way
    assert owner.complete(1) == []  # the last waits for the head of the queue
    assert owner.complete(2) == [3]


def test_an_ordered_task_waits_for_an_older_head_of_queue() -> None:
    owner = owner_of(HEAD, ORDERED)
    assert owner.run() == [0]
    assert owner.complete(0) == [1]


def test_a_barrier_covers_the_session() -> None:
    owner = Owner()
    owner.command(SIMPLE, lun=LUN1)
    owner.command(ORDERED)
    assert owner.run() == [0]
    assert owner.complete(0) == [1]


def test_immediate_delivery_is_no_way_around() -> None:
    owner = owner_of(ORDERED)
    owner.command(SIMPLE, immediate=True)
    assert owner.run() == [0]
    assert owner.complete(0) == [1]


def test_a_write_that_lacks_data_is_in_the_way() -> None:
    owner = Owner(session(keys={"ImmediateData": "No"}))
    owner.link.initiator.answers_r2t = False
    owner.command(ORDERED, write=bytes(1024))
    owner.command(SIMPLE)
    assert owner.run() == []
    (r2t,) = (reply.header for reply in owner.link.initiator.replies if isinstance(reply.header, R2T))
    owner.link.initiator.data_out(owner.tags[0], r2t.target_transfer_tag, 0, 1024)
    assert owner.run() == [0]
    assert owner.complete(0) == [1]


def test_a_write_that_fails_is_out_of_the_way() -> None:
    owner = Owner(session(keys={"ImmediateData": "No"}))
    owner.link.initiator.answers_r2t = False
    owner.command(ORDERED, write=bytes(1024))
    owner.command(SIMPLE)
    owner.run()
    owner.link.initiator.data_out(owner.tags[0], 77, 0, 1024)
    assert owner.run() == [1]
    assert owner.link.initiator.outcomes[owner.tags[0]].status == CHECK_CONDITION


def abort(owner: Owner, number: int) -> TaskManagementRequested:
    owner.link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=owner.tags[number])
    (event,) = send(owner)
    assert isinstance(event, TaskManagementRequested)
    return event


def send(owner: Owner) -> list[Any]:
    return owner.link.target.receive(owner.link.initiator.take_output())


def test_an_aborted_barrier_holds_until_it_has_no_effect() -> None:
    owner = owner_of(ORDERED, SIMPLE)
    owner.run()
    assert abort(owner, 0).tasks == (owner.tasks[0],)
    assert owner.run() == []
    assert owner.complete(0) == [1]


def test_a_waiting_task_that_is_aborted_is_never_delivered() -> None:
    owner = owner_of(SIMPLE, ORDERED, SIMPLE)
    owner.run()
    owner.link.initiator.task_management(Function.ABORT_TASK, referenced_task_tag=owner.tags[1])
    released, event = send(owner)
    assert event.tasks == ()
    assert released.task.initiator_task_tag == owner.tags[2]  # the barrier has gone with it
    assert owner.complete(0) == []


def test_an_abort_of_all() -> None:
    owner = owner_of(SIMPLE, ORDERED, SIMPLE, HEAD, ORDERED)
    assert owner.run() == [0, 3]
    assert set(owner.link.target.abort_tasks(lambda _task: True)) == {owner.tasks[0], owner.tasks[3]}
    assert owner.complete(0) == []
    owner.command(SIMPLE)
    assert owner.run() == []  # the head of the queue can still have an effect
    assert owner.complete(3) == [5]


def test_an_abort_by_others_lets_the_rest_go_on() -> None:
    owner = owner_of(SIMPLE, ORDERED, SIMPLE)
    owner.run()
    assert owner.link.target.abort_tasks(lambda task: task.attribute is ORDERED) == ()
    (event,) = owner.link.target.take_events()
    assert event.task.initiator_task_tag == owner.tags[2]  # type: ignore[union-attr]
    assert owner.link.target.take_events() == []


def test_the_end_of_the_connection_delivers_nothing() -> None:
    owner = owner_of(SIMPLE, ORDERED, SIMPLE)
    owner.run()
    owner.link.initiator.logout()
    owner.run()
    assert owner.complete(0) == []
    assert owner.tasks[0].state is TaskState.GONE


def test_writes_that_wait_for_memory_and_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of younger writes that have to wait is not needed by older ones."""
    monkeypatch.setattr(limits, "GATHERED_DATA", 8000)
    link = session(keys={"ImmediateData": "No"}, preferences=Parameters(initial_r2t=False))
    owner = Owner(link)
    link.initiator.answers_r2t = False
    owner.command(
        SIMPLE, write=bytes(6000), in_command=0, final=False
    )  # its unsolicited data are on their way
    owner.command(ORDERED)
    owner.command(SIMPLE, write=bytes(6000))
    assert owner.run() == []
    assert not any(isinstance(reply.header, R2T) for reply in link.initiator.replies)
    link.initiator.answers_r2t = True
    link.initiator.data_out(owner.tags[0], 0xFFFFFFFF, 0, 512)
    assert owner.run() == [0]
    assert owner.complete(0) == [1]
    assert owner.complete(1) == [2]


BOOLEANS: st.SearchStrategy[bool] = st.booleans()
PICKS: st.SearchStrategy[int] = st.integers(0, 100)
ATTRIBUTES = st.sampled_from([SIMPLE, SIMPLE, ORDERED, HEAD])


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_task_passes_a_barrier(data: st.DataObject) -> None:
    owner = Owner()
    attributes: list[Attribute] = []
    for _ in range(data.draw(st.integers(1, 25))):
        running = [number for number in owner.order if number not in owner.ended]
        if data.draw(BOOLEANS) and running:
            owner.complete(running[data.draw(PICKS) % len(running)])
        else:
            attributes.append(data.draw(ATTRIBUTES))
            owner.command(attributes[-1])
            owner.run()
        check(owner, attributes)
    while running := [number for number in owner.order if number not in owner.ended]:
        owner.complete(running[data.draw(PICKS) % len(running)])
        check(owner, attributes)
    assert sorted(owner.ended) == list(range(len(attributes)))


def check(owner: Owner, attributes: list[Attribute]) -> None:
    """What was delivered is exactly what SAM-5 lets start."""
    for number, attribute in enumerate(attributes):
        older = [elder for elder in range(number) if elder not in owner.ended]
        barriers = [elder for elder in older if attributes[elder] in (ORDERED, HEAD)]
        free = {HEAD: True, ORDERED: not older}.get(attribute, not barriers)
        if number not in owner.ended:
            assert (number in owner.order) is free
