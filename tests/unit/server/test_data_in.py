"""Which reads begin, which wait, and in which order."""

from twinlock.iscsi.task import Task, TaskState
from twinlock.scsi.operations import Read
from twinlock.server.data_in import DATA_IN_MEMORY, UNSENT_OUTPUT, DataIn
from twinlock.units import MIB
from twinlock.wire.iscsi_codes import TaskAttribute

WINDOW = 128


def task(tag: int = 1) -> Task:
    return Task(
        initiator_task_tag=tag,
        lun=bytes(8),
        cdb=bytes(16),
        attribute=TaskAttribute.SIMPLE,
        immediate=False,
        read=True,
        write=False,
        expected_length=0,
    )


def test_a_window_of_long_reads_may_wait_for_a_slow_disk() -> None:
    data_in = DataIn()
    for _ in range(WINDOW):
        assert data_in.begin(task(), Read(0, MIB // 2), 0)
    assert not data_in.begin(task(), Read(0, 512), 0)


def test_nothing_begins_while_much_is_unsent() -> None:
    data_in = DataIn()
    assert data_in.begin(task(), Read(0, 512), UNSENT_OUTPUT - 1)
    assert not data_in.begin(task(), Read(0, 512), UNSENT_OUTPUT)
    assert not data_in.can_begin(UNSENT_OUTPUT)
    assert data_in.can_begin(UNSENT_OUTPUT - 1)


def test_a_read_of_any_length_begins_when_there_is_nothing_else() -> None:
    data_in = DataIn()
    first, second = task(), task()
    huge = Read(0, 10 * DATA_IN_MEMORY)
    assert data_in.begin(first, huge, 0)
    assert not data_in.begin(second, huge, 0)
    data_in.end(first)
    assert data_in.next(1) is None
    waiting = data_in.next(0)
    assert waiting is not None
    assert waiting.task is second


def test_none_overtakes_those_that_wait() -> None:
    data_in = DataIn()
    tasks = [task(number) for number in range(5)]
    running = task()
    assert data_in.begin(running, Read(0, DATA_IN_MEMORY // 2), 0)
    for number, each in enumerate(tasks):
        assert not data_in.begin(each, Read(0, 512 if number else DATA_IN_MEMORY), 0)
    assert data_in.next(0) is None
    data_in.end(running)
    begun = []
    while (waiting := data_in.next(0)) is not None:
        begun.append(waiting.task)
        data_in.end(waiting.task)
    assert begun == tasks


def test_an_aborted_one_leaves_and_the_others_stay() -> None:
    data_in = DataIn()
    tasks = [task(number) for number in range(4)]
    for each in tasks:
        data_in.begin(each, Read(0, DATA_IN_MEMORY), 0)
    tasks[2].state = TaskState.ABORTED
    assert data_in.drop(lambda each: each.aborted) == [tasks[2]]
    data_in.end(tasks[0])
    waiting = data_in.next(0)
    assert waiting is not None
    assert waiting.task is tasks[1]
    assert data_in.drop(lambda _task: True) == [tasks[3]]
    assert data_in.next(0) is None


def test_ending_what_never_began_changes_nothing() -> None:
    data_in = DataIn()
    data_in.end(task())
    assert data_in.begin(task(), Read(0, 512), 0)
