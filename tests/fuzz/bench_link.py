"""The bench as a link: a fuzzed session and its neighbour at one target without I/O."""

from collections.abc import Callable, Sequence

from tests.fuzz.bench import CREDENTIALS, MOST_GROWTH, Owner, Shared
from tests.fuzz.cdbs import Disk
from tests.fuzz.choices import Choices, table
from tests.fuzz.footprint import entries
from tests.fuzz.neighbour import Neighbour
from tests.fuzz.oracle.judge import Judge
from tests.fuzz.oracle.rules import Leaked, require
from tests.fuzz.setups import SIZE, Setup
from tests.fuzz.streams import RawPdu
from twinlock.wire.iscsi_codes import AsyncEvent


class Bench:
    """A :class:`~tests.fuzz.link.Link` without I/O.  ``pdus`` and ``sessions`` count what was played."""

    def __init__(self, setup: Setup, *, late: Callable[[], bool], shared: Shared | None = None) -> None:
        self._shared = shared or Shared(setup)
        self.policy = self._shared.setup.policy
        self.disk = Disk(SIZE // self._shared.setup.block_size, self._shared.setup.block_size)
        self._late = late
        self._next_door = Owner(self._shared, late=lambda: False)
        self._neighbour = Neighbour(self._shared.device, self._carry, CREDENTIALS[self.policy])
        self._neighbour.log_in()
        self._neighbour.visit()
        self._held = entries(self._shared.target)
        self.pdus = self.sessions = 0
        self._open = False
        self.connect()

    def connect(self) -> None:
        self.hang_up()
        self.judge = Judge()
        self.owner = Owner(self._shared, late=self._late)
        self._open = True

    @property
    def over(self) -> bool:
        return self.owner.over

    def deliver(self, data: bytes) -> Sequence[RawPdu]:
        self.judge.sent(data)
        self.owner.receive(data)
        return self._heard()

    def _heard(self) -> Sequence[RawPdu]:
        pdus = self.judge.received(self.owner.output())
        if self.owner.over:
            self.judge.ended()
        return pdus

    def act(self, choices: Choices, *, fair: bool) -> Sequence[RawPdu]:
        if self.judge.logged_in:
            choices.pick(_FAIR if fair else _ACTIONS)(self, choices)
        return self._heard()

    def settle(self) -> Sequence[RawPdu]:
        self.owner.complete(lambda _pending: True)
        return self._heard()

    def visit(self) -> None:
        self._neighbour.visit()

    def _carry(self, data: bytes, _owed: bool) -> bytes:
        self._next_door.receive(data)
        require(not self._next_door.over, "the neighbour's session ended")
        return self._next_door.output()

    def hang_up(self) -> None:
        if not self._open:
            return
        self._open = False
        self.owner.close()
        self._heard()
        self.pdus += self.judge.pdus
        self.sessions += 1
        growth = entries(self._shared.target) - self._held
        if growth > MOST_GROWTH:
            raise Leaked(f"a session left {growth} entries in the target's tables")

    def close(self) -> None:
        """The input is over."""
        self.hang_up()
        self._next_door.close()


# -- what the owner does of its own accord --------------------------------------------------------


def _complete_one(bench: Bench, choices: Choices) -> None:
    if bench.owner.pending:
        bench.owner.complete_at(choices.below(len(bench.owner.pending)))


def _complete_newest_first(bench: Bench, _choices: Choices) -> None:
    while bench.owner.pending:
        bench.owner.complete_at(-1)


def _ping(bench: Bench, _choices: Choices) -> None:
    bench.owner.connection.ping()


def _announce(bench: Bench, choices: Choices) -> None:
    events = (AsyncEvent.LOGOUT_REQUESTED, AsyncEvent.CONNECTION_DROPPED, AsyncEvent.ALL_CONNECTIONS_DROPPED)
    bench.owner.connection.announce(choices.pick(events), seconds=3)


def _abort(bench: Bench, choices: Choices) -> None:
    """Another session clears this one's tasks: some of them, or all."""
    divisor = choices.pick((1, 2))
    bench.owner.abort(lambda task: task.initiator_task_tag % divisor == 0)


def _reset(bench: Bench, choices: Choices) -> None:
    """Another session resets the logical unit or the target."""
    if choices.chance(50):
        ending = bench._shared.target.logical_unit_reset(bytes(8))
        assert ending is not None
    else:
        ending = bench._shared.target.target_reset(cold=choices.chance(50))
    ending()


Action = Callable[[Bench, Choices], None]
_FAIR: tuple[Action, ...] = table(
    (8, _complete_one), (2, _complete_newest_first), (1, _ping), (1, _announce), (1, _reset)
)  # fmt: skip
_ACTIONS: tuple[Action, ...] = (*_FAIR, *table((2, _abort)))
