"""Unit attentions: a queue for each nexus."""

import pytest

from tests.unit.scsi.support import A, B, C
from twinlock.scsi.attentions import UnitAttentions
from twinlock.scsi.nexus import Nexus
from twinlock.wire.scsi_sense import SenseCode

POWER_ON = SenseCode.POWER_ON_OR_RESET_OCCURRED
CAPACITY = SenseCode.CAPACITY_DATA_HAS_CHANGED
CLEARED = SenseCode.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR
STRANGER = Nexus("iqn.2026-11.test:stranger", bytes(6))
RESET = SenseCode.BUS_DEVICE_RESET_FUNCTION_OCCURRED


@pytest.fixture
def attentions() -> UnitAttentions:
    """As after the first command of nexuses ``a`` and ``b``."""
    found = UnitAttentions()
    assert [found.take(A), found.take(B)] == [POWER_ON, POWER_ON]
    return found


def test_power_on_is_told_once_to_each(attentions: UnitAttentions) -> None:
    assert attentions.take(A) is None
    assert attentions.take(C) is POWER_ON
    assert attentions.take(C) is None


def test_news_are_told_in_order_and_once(attentions: UnitAttentions) -> None:
    for code in (CAPACITY, CLEARED, CAPACITY):
        attentions.establish(code)
    assert [attentions.take(A) for _ in range(3)] == [CAPACITY, CLEARED, None]
    assert attentions.take(B) is CAPACITY


def test_news_for_some(attentions: UnitAttentions) -> None:
    attentions.establish(CLEARED, [B, STRANGER])
    assert attentions.take(A) is None
    assert attentions.take(B) is CLEARED
    assert [attentions.take(STRANGER) for _ in range(2)] == [POWER_ON, None]


def test_a_reset_replaces_older_news(attentions: UnitAttentions) -> None:
    attentions.establish(CAPACITY)
    attentions.reset(RESET)
    assert [attentions.take(A), attentions.take(A)] == [RESET, None]


def test_who_was_forgotten_starts_anew(attentions: UnitAttentions) -> None:
    attentions.forget(A)
    attentions.forget(STRANGER)
    attentions.establish(CAPACITY)
    assert [attentions.take(A), attentions.take(A)] == [POWER_ON, None]


def test_all_but_one_are_told(attentions: UnitAttentions) -> None:
    attentions.establish(CAPACITY, but=A)
    assert [attentions.take(A), attentions.take(B)] == [None, CAPACITY]


def test_resets_can_be_taken_ahead_of_other_news(attentions: UnitAttentions) -> None:
    assert attentions.take_reset(C) is POWER_ON
    attentions.establish(CAPACITY)
    assert attentions.take_reset(A) is None
    attentions.reset(RESET)
    attentions.establish(CAPACITY)
    assert [attentions.take_reset(A) for _ in range(2)] == [RESET, None]
    assert attentions.take(A) is CAPACITY


def test_whether_there_are_news_is_told_without_taking_them(attentions: UnitAttentions) -> None:
    assert [attentions.pending(each) for each in (A, C, C)] == [False, True, True]
    attentions.establish(CAPACITY, [A])
    assert [attentions.pending(each) for each in (A, A, B)] == [True, True, False]


def test_a_unit_may_owe_nothing_at_first() -> None:
    assert UnitAttentions(at_first=()).take(A) is None
