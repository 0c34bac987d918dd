"""Whether what was promised last is kept: every block is written and flushed, and power fails."""

from typing import TYPE_CHECKING

from tests.faults.harness.acts import BLOCK, FLUSH, put
from tests.faults.harness.oracle import Illegal

if TYPE_CHECKING:
    from tests.faults.harness.life import Life


def judge_promise(life: "Life") -> None:
    """All blocks are written and flushed, and power fails: all are there, and so are their checksums."""
    numbers = tuple(sorted(life.known))
    life.start(numbers)
    life.recover()
    for block in life.blocks:
        put(life, block, BLOCK)
    life.act(FLUSH)
    life.rig.power_cut(lambda: lambda _index: False, life.random)
    life.oracle.crashed()
    life.start(numbers)
    life.look()
    if life.rig.setup.checksums and not _have_checksums(life):
        raise Illegal("checksums of flushed blocks are not there")
    life.lose_power()


def _have_checksums(life: "Life") -> bool:
    tables = life.rig.tables().values()
    shift = life.rig.shift
    return all(all(table.known(shift + block, BLOCK)) for table in tables for block in life.blocks)
