"""Every fault of one member with every fault of the other."""

import pytest

from tests.faults.harness.pairs import BUSY_PAIRS, PAIRS, Fault, judge_pair


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda fault: fault.name)
def test_two_members(a: Fault, b: Fault) -> None:
    judge_pair(a, b)


@pytest.mark.parametrize(("a", "b"), BUSY_PAIRS, ids=lambda fault: fault.name)
def test_two_members_of_an_array_in_use(a: Fault, b: Fault) -> None:
    judge_pair(a, b, busy=True)
