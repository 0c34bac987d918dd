"""Wrong secrets are slowed down, counted and forgotten."""

import pytest

from twinlock.server.throttle import (
    FIRST_DELAY,
    FORGET_SECONDS,
    MAX_ADDRESSES,
    MAX_DELAY,
    Throttle,
    source_of,
)

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> Throttle:
    return Throttle(clock)


def test_the_delay_grows_with_each_failure_up_to_a_limit(throttle: Throttle, clock: Clock) -> None:
    delays = []
    for _ in range(2000):
        throttle.failed(HERE)
        delays.append(throttle.delay(HERE))
        clock.now += MAX_DELAY
    assert delays[:4] == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert delays[-1] == MAX_DELAY


def test_a_stranger_from_another_address_does_not_wait(throttle: Throttle) -> None:
    for _ in range(10):
        throttle.failed(HERE)
    assert throttle.delay(THERE) == 0
    assert throttle.delay(HERE) > 0


def test_many_at_once_are_no_faster_than_one(throttle: Throttle, clock: Clock) -> None:
    throttle.failed(HERE)
    clock.now += FIRST_DELAY
    assert throttle.delay(HERE) == 0
    assert throttle.delay(HERE) == FIRST_DELAY, "the second waits for its own turn"


def test_a_neighbour_with_a_wrong_secret_does_not_hold_up_who_is_known(throttle: Throttle) -> None:
    """On a home network all machines share one IPv6 /64."""
    known, neighbour, stranger = "fe80::1%eth0", "fe80::2%eth0", "fe80::3%eth0"
    throttle.succeeded(known)
    for _ in range(10):
        throttle.failed(neighbour)
    assert throttle.delay(known) == 0
    assert throttle.delay(stranger) > 0
    assert throttle.source(known) != throttle.source(neighbour) == throttle.source(stranger)


def test_who_is_known_is_slowed_down_by_its_own_failures(throttle: Throttle) -> None:
    throttle.succeeded("fe80::1")
    throttle.failed("fe80::1")
    assert throttle.delay("fe80::1") > 0
    assert throttle.delay("fe80::2") == 0


def test_only_so_many_are_known(throttle: Throttle) -> None:
    for number in range(MAX_ADDRESSES + 1):
        throttle.succeeded(f"2001:db8::{number:x}")
    assert throttle.source("2001:db8::0") == source_of("2001:db8::0")
    assert throttle.source("2001:db8::1") == "2001:db8::1"


def test_success_makes_up_for_everything(throttle: Throttle) -> None:
    throttle.failed(HERE)
    throttle.succeeded(HERE)
    assert throttle.delay(HERE) == 0
    assert throttle.counts() == ()


def test_failures_are_counted_the_latest_first(throttle: Throttle, clock: Clock) -> None:
    throttle.failed(HERE)
    throttle.failed(THERE)
    clock.now += 5
    throttle.failed(HERE)
    found = [(each.address, each.count, each.last) for each in throttle.counts()]
    assert found == [(HERE, 2, clock.now), (THERE, 1, clock.now - 5)]


def test_failures_are_forgotten_after_a_while(throttle: Throttle, clock: Clock) -> None:
    throttle.failed(HERE)
    clock.now += FORGET_SECONDS + 1
    assert throttle.delay(HERE) == 0
    assert throttle.counts() == ()


def test_memory_is_bounded(throttle: Throttle, clock: Clock) -> None:
    for number in range(MAX_ADDRESSES + 10):
        throttle.failed(f"10.0.{number // 256}.{number % 256}")
        clock.now += 0.001
    counts = throttle.counts()
    assert len(counts) == MAX_ADDRESSES
    assert throttle.delay("10.0.0.0") == 0, "the one that was quiet for longest is forgotten"


def test_a_clock_that_is_turned_back_costs_nothing(throttle: Throttle, clock: Clock) -> None:
    throttle.failed(HERE)
    clock.now -= 86400
    assert throttle.delay(HERE) == 0


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("somewhere", "somewhere"),
    ],
)
def test_what_an_address_counts_as(address: str, source: str) -> None:
    assert source_of(address) == source


def test_an_ipv6_network_is_one_address(throttle: Throttle) -> None:
    throttle.failed("2001:db8::1")
    assert throttle.delay("2001:db8::ffff:2") > 0
    assert throttle.delay("2001:db8:0:1::1") == 0
