from threading import Event, Thread

from hypothesis import given
from hypothesis import strategies as st

from twinlock.block.mirror.ranges import RangeLock


def start(lock: RangeLock, begin: int, end: int, order: list[str], name: str, gate: Event) -> Thread:
    def work() -> None:
        with lock.hold(begin, end):
            order.append(name)
            gate.wait(5)

    thread = Thread(target=work)
    thread.start()
    return thread


def wait_until_queued(lock: RangeLock, count: int) -> None:
    while len(lock._queue) < count:
        pass


def test_disjoint_ranges_pass_and_overlapping_ones_wait_in_order() -> None:
    lock, gate = RangeLock(), Event()
    order: list[str] = []
    first = lock.acquire(0, 10)
    threads = []
    for count, (begin, end, name) in enumerate([(5, 15, "b"), (12, 20, "c"), (0, 1, "d")]):
        threads.append(start(lock, begin, end, order, name, gate))
        wait_until_queued(lock, count + 2)
    with lock.hold(100, 110):
        assert order == []  # c overlaps only b, but may not overtake it
    gate.set()
    lock.release(first)
    for thread in threads:
        thread.join()
    assert order.index("b") < order.index("c")
    assert sorted(order) == ["b", "c", "d"]


def test_a_range_is_free_again_after_an_error() -> None:
    lock = RangeLock()
    try:
        with lock.hold(0, 1):
            raise KeyError
    except KeyError:
        pass
    with lock.hold(0, 1):
        assert len(lock._queue) == 1
    assert lock._queue == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), min_size=2, max_size=12))
def test_no_two_holders_overlap(spans: list[tuple[int, int]]) -> None:
    lock, inside, clashes = RangeLock(), set[int](), list[int]()

    def work(begin: int, length: int) -> None:
        mine = set(range(begin, begin + length))
        with lock.hold(begin, begin + length):
            clashes.extend(inside & mine)
            inside.update(mine)
            inside.difference_update(mine)

    threads = [Thread(target=work, args=span) for span in spans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clashes == []
    assert lock._queue == []
