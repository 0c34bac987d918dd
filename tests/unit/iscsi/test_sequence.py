import pytest

from twinlock.iscsi.sequence import CommandWindow, Place, TransferTags, distance, following
from twinlock.wire.iscsi_codes import RESERVED_TAG

LAST = 0xFFFFFFFF


def test_numbers_wrap() -> None:
    assert following(LAST) == 0
    assert following(0, -1) == LAST
    assert distance(LAST, 1) == 2


@pytest.mark.parametrize("first", [0, 1, 100, LAST - 2, LAST])
def test_places_in_a_window_wherever_it_lies(first: int) -> None:
    window = CommandWindow(first, 4)
    places = [window.place(following(first, ahead)) for ahead in (-1, 0, 1, 3, 4)]
    assert places == [Place.OUTSIDE, Place.IN_TURN, Place.EARLY, Place.EARLY, Place.OUTSIDE]


def test_tasks_close_the_window_and_open_it_again() -> None:
    window = CommandWindow(LAST, 2)
    for _ in range(2):
        window.admit()
        window.occupy()
    assert (window.expected, window.maximum) == (1, 0)
    assert window.place(1) is Place.OUTSIDE
    window.release()
    assert (window.expected, window.maximum) == (1, 1)
    assert window.place(1) is Place.IN_TURN


def test_a_command_without_a_task_keeps_the_window_open() -> None:
    window = CommandWindow(5, 2)
    window.admit()
    assert (window.expected, window.maximum) == (6, 7)


def test_transfer_tags_skip_the_reserved_one() -> None:
    tags = TransferTags()
    tags._last = RESERVED_TAG - 2
    assert [tags.take(), tags.take(), tags.take()] == [RESERVED_TAG - 1, 0, 1]
