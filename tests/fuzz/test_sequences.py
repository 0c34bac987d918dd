"""Whatever comes, in whatever order and cut: nothing that RFC 7143 does not allow, nothing left behind."""

from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import entries
from tests.fuzz.bench_link import Bench
from tests.fuzz.choices import Choices, drawn
from tests.fuzz.logins import log_in
from tests.fuzz.player import Player
from tests.fuzz.sequences import play
from tests.fuzz.setups import Setup, setup
from tests.fuzz.streams import RawPdu
from twinlock.wire.iscsi_responses import RESPONSES

INPUTS = st.binary(min_size=60, max_size=1200)
QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.fixture(autouse=True, scope="module")
def _houses_end() -> Iterator[None]:
    yield
    entries.close_houses()


@settings(QUIET, max_examples=250)
@given(INPUTS)
def test_sequences_without_io(data: bytes) -> None:
    entries.session(data)


@settings(QUIET, max_examples=25)
@given(INPUTS)
def test_sequences_through_sockets(data: bytes) -> None:
    entries.served(data)


@settings(QUIET, max_examples=150)
@given(st.binary(max_size=600))
def test_any_bytes_whole_and_in_pieces(data: bytes) -> None:
    entries.stream(data)


@settings(QUIET, max_examples=400)
@given(st.binary(max_size=400))
def test_parsers(data: bytes) -> None:
    entries.parser(data)


@settings(QUIET, max_examples=150)
@given(st.binary(min_size=20, max_size=200), st.sampled_from([0, 10, 40]))
def test_logins(data: bytes, lies: int) -> None:
    choices = Choices(data)
    bench = Bench(setup(choices), late=lambda: False)
    log_in(Player(choices, bench, lies=lies))
    bench.close()


def test_the_grammar_reaches_what_it_is_for() -> None:
    """Seeds lead to every kind of PDU that a target may send."""
    seen: set[int] = set()
    for number in range(60):
        seen |= opcodes_seen(drawn(f"reach {number}"))
    assert seen == set(RESPONSES)


def opcodes_seen(data: bytes) -> set[int]:
    choices = Choices(data)
    bench = Spy(setup(choices), late=lambda: choices.chance(entries.LATE))
    play(choices, bench)
    bench.close()
    return bench.seen


class Spy(Bench):
    """Remembers what kinds of PDU came."""

    def __init__(self, setup: Setup, *, late: Callable[[], bool]) -> None:
        self.seen: set[int] = set()
        super().__init__(setup, late=late)

    def deliver(self, data: bytes) -> Sequence[RawPdu]:
        return self._note(super().deliver(data))

    def act(self, choices: Choices, *, fair: bool) -> Sequence[RawPdu]:
        return self._note(super().act(choices, fair=fair))

    def _note(self, pdus: Sequence[RawPdu]) -> Sequence[RawPdu]:
        self.seen |= {pdu.opcode for pdu in pdus}
        return pdus
