"""Unit attentions: a queue for each nexus."""

import pytest

from twinlock.scsi.attentions import UnitAttentions
from twinlock.wire.scsi_sense import SenseCode

POWER_ON = SenseCode.POWER_ON_OR_RESET_OCCURRED
CAPACITY = SenseCode.CAPACITY_DATA_HAS_CHANGED
CLEARED = SenseCode.COMMANDS_CLEARED_BY_ANOTHER_INITIATOR
RESET = SenseCode.BUS_DEVICE_RESET_FUNCTION_OCCURRED


@pytest.fixture
def attentions() -> UnitAttentions:
    """As after the first command of nexuses ``a`` and ``b``."""
    found = UnitAttentions()
    assert [found.take("a"), found.take("b")] == [POWER_ON, POWER_ON]
    return found


def test_power_on_is_told_once_to_each(attentions: UnitAttentions) -> None:
    assert attentions.take("a") is None
    assert attentions.take("c") is POWER_ON
    assert attentions.take("c") is None


def test_news_are_told_in_order_and_once(attentions: UnitAttentions) -> None:
    for code in (CAPACITY, CLEARED, CAPACITY):
        attentions.establish(code)
    assert [attentions.take("a") for _ in range(3)] == [CAPACITY, CLEARED, None]
    assert attentions.take("b") is CAPACITY


def test_news_for_some(attentions: UnitAttentions) -> None:
    attentions.establish(CLEARED, ["b", "stranger"])
    assert attentions.take("a") is None
    assert attentions.take("b") is CLEARED
    assert [attentions.take("stranger") for _ in range(2)] == [POWER_ON, None]


def test_a_reset_replaces_older_news(attentions: UnitAttentions) -> None:
    attentions.establish(CAPACITY)
    attentions.reset(RESET)
    assert [attentions.take("a"), attentions.take("a")] == [RESET, None]


def test_who_was_forgotten_starts_anew(attentions: UnitAttentions) -> None:
    attentions.forget("a")
    attentions.forget("never known")
    attentions.establish(CAPACITY)
    assert [attentions.take("a"), attentions.take("a")] == [POWER_ON, None]


def test_a_unit_may_owe_nothing_at_first() -> None:
    assert UnitAttentions(at_first=()).take("a") is None
