"""Many sessions at one target: its tables stay as they are, and memory does not grow."""

import gc
import tracemalloc
import weakref

from tests.fuzz import entries
from tests.fuzz.bench import Shared
from tests.fuzz.bench_link import Bench
from tests.fuzz.cdbs import Request
from tests.fuzz.choices import Choices, drawn
from tests.fuzz.footprint import entries as entries_of
from tests.fuzz.logins import send, text_of
from tests.fuzz.player import Player
from tests.fuzz.sequences import play
from tests.fuzz.setups import TARGET, Setup

WARM_UP, ROUNDS, INPUTS = 2, 2, 20
MOST_BYTES = 256 * 1024


def play_all(shared: Shared) -> None:
    for number in range(INPUTS):
        entries.session(drawn(f"memory {number}", 600), shared)


def test_many_sessions_leave_nothing() -> None:
    shared = Shared(Setup())
    for _ in range(WARM_UP):
        play_all(shared)
    gc.collect()
    tables = entries_of(shared.target)
    tracemalloc.start()
    for _ in range(ROUNDS):
        play_all(shared)
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert entries_of(shared.target) <= tables + 8
    assert grown < MOST_BYTES


def test_initiators_that_are_gone_are_forgotten() -> None:
    """However many come, and whatever they are called."""
    shared = Shared(Setup())
    serve_one(shared, 0)
    tables = entries_of(shared.target)
    for number in range(1, 100):
        serve_one(shared, number)
    assert entries_of(shared.target) <= tables


def serve_one(shared: Shared, number: int) -> None:
    link = Bench(Setup(), late=lambda: False, shared=shared)
    keys = {"InitiatorName": f"iqn.2026-11.test:{number}", "TargetName": TARGET}
    player = Player(Choices(b""), link, lies=0)
    send(player, text_of(keys), 1, 3)
    player.command(Request(bytes(16)))
    player.flush()
    assert link.judge.unanswered == 0
    link.close()


def test_a_connection_that_ended_is_forgotten() -> None:
    choices = Choices(drawn("forgotten"))
    bench = Bench(Setup(), late=lambda: choices.chance(50))
    play(choices, bench)
    ended = weakref.ref(bench.owner.connection)
    bench.connect()
    gc.collect()
    assert ended() is None
