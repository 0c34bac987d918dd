"""What happens to an array between two crashes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.harness.judging import judge_media
from tests.faults.harness.legal import attempt
from tests.faults.harness.oracle import ANYTHING, SECTOR, Illegal, content
from twinlock.block.faulty import Rates
from twinlock.block.mirror.member import MemberState
from twinlock.errors import MediumError
from twinlock.units import MIB

if TYPE_CHECKING:
    from tests.faults.harness.life import Life

BLOCK = 4096
MEDIA_AT_MOST = 6
LARGEST = 24 * MIB


@dataclass(frozen=True, slots=True)
class Act:
    """``weight`` is how often, against the others."""

    name: str
    weight: float
    do: Callable[["Life"], None]


def _write(life: "Life") -> None:
    """Some whole blocks, or some sectors of one."""
    offset, length = _range(life)
    put(life, offset, length, durable=life.random.random() < 0.1)


def _range(life: "Life") -> tuple[int, int]:
    """Bytes of the array to write to, of blocks that are not rotten."""
    free = [block for block in life.blocks if block not in life.rotten]
    block = life.random.choice(free)
    if life.rig.top.block_size == SECTOR and life.random.random() < 0.4:
        first = life.random.randrange(8)
        return block + first * SECTOR, life.random.randint(1, 8 - first) * SECTOR
    length = BLOCK
    while block + length in free and life.random.random() < 0.3:
        length += BLOCK
    return block, length


def put(life: "Life", offset: int, length: int, *, durable: bool = False) -> None:
    """Write a new value there."""
    life.value += 1
    sectors = range(offset // SECTOR, (offset + length) // SECTOR)
    life.told[-1] += f" {life.value} at {offset}+{length}"
    life.oracle.begins(sectors, life.value)
    disk = life.rig.top
    flush = life.oracle.flush_begins()
    (disk.write_durable if durable else disk.write)(offset, content(life.value) * len(sectors))
    life.oracle.written(sectors, life.value)
    if durable:
        only = type(flush)({sector: frozenset([life.value]) for sector in sectors}, flush.begun)
        life.oracle.flushed(only)


def _write_without_room(life: "Life") -> None:
    """One member has no room for what comes next, be it data or a note about them, or for data only."""
    disk = life.rig.disks[life.random.choice(sorted(life.rig.disks))]
    offset, length = _range(life)
    if life.random.random() < 0.5:
        put(life, offset, length)  # what is noted about it is there already
    disk.rates = Rates(lambda: 0.0, {"w": {"S": 1.0}})
    try:
        attempt(life, "write without room", lambda: put(life, offset, length))
    finally:
        disk.rates = None


def _fault(kind: str, letter: str, act: Callable[["Life"], None]) -> Callable[["Life"], None]:
    """One member, not the last one in sync, fails as the letter says while the act is done.

    After a flush that failed it keeps nothing more, and says nothing: so does a page cache.
    """

    def do(life: "Life") -> None:
        in_sync = life.rig.having(MemberState.IN_SYNC)
        if len(in_sync) < 2 or life.rotten or _unnoticed(life):
            return
        number = life.random.choice(in_sync)
        life.told[-1] += f" of {number}"
        disk = life.rig.disks[number]
        disk.rates = Rates(lambda: 0.0, {kind: {letter: 1.0}})
        before = len(disk.operations)
        life.oracle.others_answer()
        try:
            act(life)
        finally:
            disk.rates = None
            disk.lying = kind == "f" and any(operation[0] == kind for operation in disk.operations[before:])

    return do


def _agree(life: "Life") -> None:
    """The background comes to its end, and the members hold the same."""
    if not life.rotten:
        life.rig.settle()
        judge_media(life)


def _change_keys(life: "Life") -> None:
    """One change of the container's header, through all members."""
    if life.rig.container is not None:
        done = life.rig.container.change(life.rig.mirror, life.random, life.rig.clock.now)
        life.told[-1] += f": {done}"


def _discard(life: "Life") -> None:
    """Zeros are left, or noise within a container."""
    offset, length = _range(life)
    sectors = range(offset // SECTOR, (offset + length) // SECTOR)
    life.told[-1] += f" at {offset}+{length}"
    life.oracle.begins(sectors, 0 if life.rig.container is None else ANYTHING)
    life.rig.top.discard(offset, length)


def _flush(life: "Life") -> None:
    flush = life.oracle.flush_begins()
    life.rig.top.flush()
    life.oracle.flushed(flush)


def _rest(life: "Life") -> None:
    """Time passes, so that the bitmap is swept."""
    with life.rig.doing("step") as mirror:
        life.rig.clock.now += 6
        mirror.step()


def _step(life: "Life") -> None:
    with life.rig.doing("step") as mirror:
        for _ in range(life.random.choice([1, 1, 5, 30])):
            life.rig.clock.now += 0.05
            mirror.step()


def _read(life: "Life") -> None:
    block = life.random.choice(life.blocks)
    life.oracle.check(block // SECTOR, bytes(life.rig.top.read(block, BLOCK)))


def _read_fails(life: "Life") -> None:
    """A sector of one member in sync cannot be read until it is rewritten."""
    in_sync = life.rig.having(MemberState.IN_SYNC)
    if len(in_sync) < 2 or life.rotten or _unnoticed(life):
        return
    if life.rig.mirror.status().marked_chunks:
        return
    number, block = life.random.choice(in_sync), life.random.choice(life.blocks)
    place = life.rig.places[number].data_offset + life.rig.shift + block
    life.rig.disks[number].break_reads(place, life.rig.setup.block_size)
    with life.rig.doing("read"):
        life.oracle.check(block // SECTOR, bytes(life.rig.top.read_medium(block, BLOCK)))
    try:
        life.rig.disks[number].read(place, life.rig.setup.block_size)
    except MediumError:
        raise Illegal(f"block {block} was read, and not repaired on {number}") from None


def _lose(life: "Life") -> None:
    """A member that is not the last one in sync vanishes; what it did not flush may be lost."""
    in_sync = life.rig.having(MemberState.IN_SYNC)
    others = life.rig.having(MemberState.REBUILDING, MemberState.SPARE)
    possible = (in_sync if len(in_sync) > 1 else []) + others
    if not possible or life.rotten or _unnoticed(life):
        return
    number = life.random.choice(possible)
    life.told[-1] += f" {number}"
    life.rig.disks[number].power_cut(life.survives(), torn=True)
    life.oracle.others_answer()


def _unnoticed(life: "Life") -> bool:
    """True if a member is gone, and the array has not met it yet: the other one may be the last."""
    return any(life.rig.disks[number].gone for number in life.rig.having(MemberState.IN_SYNC))


def _fail(life: "Life") -> None:
    if not life.rotten and not _unnoticed(life):
        number = life.random.choice(sorted(life.rig.disks))
        life.told[-1] += f" {number}"
        attempt(life, "fail", lambda: life.rig.mirror.fail_member(life.rig.media[number].path), number)


def _away(life: "Life") -> list[int]:
    taking_part = life.rig.having(MemberState.IN_SYNC, MemberState.REBUILDING, MemberState.SPARE)
    return [number for number in range(len(life.rig.media)) if number not in taking_part]


def _add(life: "Life") -> None:
    """One that was away, or a new one."""
    number = _someone(life)
    if number is None:
        return
    life.told[-1] += f" {number}"
    device = life.rig.insert(number)
    _join(life, "add", number, lambda: life.rig.mirror.add_member(device))


def _join(life: "Life", act: str, number: int, do: Callable[[], object]) -> None:
    """Somebody comes in, and has from then on what the others have."""
    if attempt(life, act, do, number):
        if act == "replace":
            life.history.renamed(number)
        life.history.joined(number, min(life.rig.having(MemberState.IN_SYNC)))


def _someone(life: "Life") -> int | None:
    away = _away(life)
    for number in away:
        if number in life.rig.disks:
            life.rig.disks[number].power_cut(life.survives(), torn=True)
    if away:
        return _wiped(life, life.random.choice(away))
    return life.rig.add_medium() if len(life.rig.media) < MEDIA_AT_MOST else None


def _wiped(life: "Life", number: int) -> int:
    """A person may have cleared it; what ran apart is of no use otherwise."""
    if number not in life.known or life.random.random() < 0.2:
        medium = life.rig.media[number]
        medium.write(0, bytes(life.rig.places[number].data_offset))
        life.history.blank(number)
    return number


def _replace(life: "Life") -> None:
    number = _someone(life)
    in_sync = life.rig.having(MemberState.IN_SYNC)
    if number is None or not in_sync or life.rotten:
        return
    path = life.rig.media[life.random.choice(in_sync)].path
    life.told[-1] += f" {path} by {number}"
    device = life.rig.insert(number)
    _join(life, "replace", number, lambda: life.rig.mirror.replace_member(path, device))


def _grow(life: "Life") -> None:
    size = life.rig.media[0].size + MIB
    if size > LARGEST:
        return
    for medium in life.rig.media:
        medium.enlarge(size)
    if attempt(life, "grow", life.rig.mirror.grow):
        life.rig.open_top()


def _scrub(life: "Life") -> None:
    repair = life.random.random() < 0.5
    attempt(life, "scrub", lambda: life.rig.mirror.start_scrub(repair=repair))


FLUSH = Act("flush", 3, _flush)
ACTS = (
    Act("write", 12, _write),
    FLUSH,
    Act("rest", 3, _rest),
    Act("step background", 4, _step),
    Act("read", 2, _read),
    Act("discard", 2, _discard),
    Act("write without room", 1, _write_without_room),
    Act("write that fails", 0.15, _fault("w", "E", _write)),
    Act("torn write", 0.15, _fault("w", "T", _write)),
    Act("flush that fails", 0.2, _fault("f", "E", _flush)),
    Act("agree", 0.3, _agree),
    Act("key change", 0.4, _change_keys),
    Act("read of a bad sector", 0.5, _read_fails),
    Act("lose", 0.6, _lose),
    Act("fail", 0.2, _fail),
    Act("add", 1, _add),
    Act("replace", 0.4, _replace),
    Act("grow", 0.3, _grow),
    Act("scrub", 0.3, _scrub),
)
NAMED = {act.name: act for act in ACTS}
