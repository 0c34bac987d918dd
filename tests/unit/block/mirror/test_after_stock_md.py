"""Stock md had the array meanwhile: its data are right, whatever our checksums of before say.

Reads and scrub find nothing wrong, put nothing "right", and give what is there new checksums.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.unit.block.arrays import BLOCK, SIZE, Array, array
from tests.unit.block.mirror.test_bit_rot import checked, flip
from tests.unit.block.mirror.test_mdadm import facts
from tests.unit.block.mirror.test_scrub import raw, scrub
from tests.unit.block.stock_md import StockMd
from twinlock.block.checked.device import TableState
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.member import MemberState
from twinlock.units import MIB, SECTOR

CHUNK = 4 * MIB
PLACES = (0, BLOCK, 5 * CHUNK, 9 * CHUNK + 3 * BLOCK)
"""What is looked at: the first two are of one chunk."""


def block(letter: str) -> bytes:
    return letter.encode() * BLOCK


@dataclass
class Case:
    """An array, and what it has to hold; ``md`` has the same disks while it is stopped."""

    made: Array = field(default_factory=array)
    holds: dict[int, bytes] = field(default_factory=dict)

    def write(self, place: int, data: bytes) -> None:
        self.made.mirror.write(place, data)
        self.holds[place] = data

    def md(self, *numbers: int) -> StockMd:
        """Its clock stands where ours stood when the array was stopped."""
        media = [self.made.media[number] for number in numbers or range(len(self.made.media))]
        return StockMd.assemble(media, int(self.made.clock.now))

    def md_writes(self, md: StockMd, place: int, data: bytes) -> None:
        md.write(place, data)
        self.holds[place] = data


def stopped() -> Case:
    """Two members with checksums, clean."""
    case = Case()
    for place, letter in zip(PLACES, "abcd", strict=True):
        case.write(place, block(letter))
    case.made.stop()
    return case


# -- what md does ---------------------------------------------------------------------------------


def writes_and_rests(case: Case) -> None:
    """The event count, and every bit, are what they were."""
    md = case.md()
    before = md.events
    case.md_writes(md, PLACES[0], block("A"))
    case.md_writes(md, PLACES[2], block("C"))
    md.rest()
    assert md.events == before


def writes_and_stops(case: Case) -> None:
    md = case.md()
    case.md_writes(md, PLACES[0], block("A"))
    md.stop()


def loses_its_power(case: Case) -> None:
    """Within a write, which one of them has: either copy is right, the other must go."""
    md = case.md()
    case.md_writes(md, PLACES[0], block("A"))
    md.write(PLACES[2], block("C"), lost_on=1)
    case.holds[PLACES[2]] = block("C")  # the preferred one's


def runs_degraded_and_rests(case: Case, there: int = 0) -> None:
    md = case.md(there)
    case.md_writes(md, PLACES[0], block("A"))
    md.rest()


def runs_with_the_second_alone(case: Case) -> None:
    runs_degraded_and_rests(case, 1)


def runs_degraded_and_loses_its_power(case: Case) -> None:
    case.md_writes(case.md(0), PLACES[2], block("C"))


def takes_the_second_back(case: Case) -> None:
    """``mdadm --add`` of a former member: it keeps its identifier, and has an old table of ours."""
    uuid = bytes(case.made.media[1].read(4096, BLOCK))[168:184]
    md = case.md(0)
    case.md_writes(md, PLACES[0], block("A"))
    md.recover(md.add(case.made.media[1], uuid))
    case.md_writes(md, PLACES[3], block("D"))
    md.stop()


def replaces_the_second(case: Case, until: int | None = None, **fields: int) -> None:
    case.made.media[1] = MemoryDevice(SIZE, BLOCK, path="disk1")
    md = case.md(0)
    case.md_writes(md, PLACES[0], block("A"))
    new = md.add(case.made.media[1], b"new".ljust(16, b"!"), **fields)
    if until is None:
        case.md_writes(md, PLACES[2], block("C"))
        md.recover(new)
    else:
        md.recover(new, until)
    md.stop()


def replaces_the_second_with_a_small_gap(case: Case) -> None:
    """There is no room for a table on the new one."""
    replaces_the_second(case, data_offset=256, data_size=SIZE // SECTOR - 256)


def replaces_the_second_by_half(case: Case) -> None:
    replaces_the_second(case, 6 * CHUNK)


def replaces_the_first(case: Case) -> None:
    case.made.media[0] = MemoryDevice(SIZE, BLOCK, path="disk0")
    md = case.md(1)
    new = md.add(case.made.media[0], b"new".ljust(16, b"!"))
    case.md_writes(md, PLACES[1], block("B"))
    md.recover(new)
    md.rest()


DEEDS: tuple[Callable[[Case], None], ...] = (
    writes_and_rests,
    writes_and_stops,
    loses_its_power,
    runs_degraded_and_rests,
    runs_with_the_second_alone,
    runs_degraded_and_loses_its_power,
    takes_the_second_back,
    replaces_the_second,
    replaces_the_second_with_a_small_gap,
    replaces_the_second_by_half,
    replaces_the_first,
)


@pytest.mark.parametrize("settled", [True, False], ids=["settled", "at once"])
@pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)
def test_what_stock_md_did_is_right(deed: Callable[[Case], None], settled: bool) -> None:
    case = stopped()
    made = case.made
    deed(case)
    made.start()
    if settled:
        made.settle()
    else:
        look(case)
        scrub_before_all_else(made)
    found = scrub(made)
    assert not found.findings
    assert found.repaired == found.skipped == 0
    look(case)
    made.settle()
    for index in range(2):
        for place, data in case.holds.items():
            assert bytes(raw(made, index).read(place, BLOCK)) == data, (index, place)
    assert not scrub(made).findings
    notes = made.notes
    assert (notes.wrong, notes.repaired, notes.lost, notes.failed, notes.records) == ([], [], [], [], [])
    rot_is_found(case)


def scrub_before_all_else(made: Array) -> None:
    """Before there is a checksum: as where there is no room yet for the tables."""
    made.mirror.start_scrub()
    while made.mirror._scrub.step():
        pass
    found = made.mirror.scrub_status
    assert not found.findings
    assert found.repaired == 0


def look(case: Case) -> None:
    for place, data in case.holds.items():
        assert bytes(case.made.mirror.read(place, BLOCK)) == data
        assert bytes(case.made.mirror.read_medium(place, BLOCK)) == data


def rot_is_found(case: Case) -> None:
    """Every block that holds something has a checksum by now, on each member that keeps any."""
    made = case.made
    members = made.mirror._record.members
    assert {member.state for member in members} == {MemberState.IN_SYNC}
    keeping = [index for index, member in enumerate(members) if member.checked is not None]
    assert keeping
    for index in keeping:
        assert checked(made, index).state is TableState.ON
        for place in case.holds:
            flip(made.media[index], start(made, index) + place)
        found = scrub(made)
        assert (found.wrong, found.repaired, found.mismatches) == (len(PLACES),) * 2 + (0,)
    look(case)


def start(made: Array, index: int) -> int:
    """Where a member's data begin."""
    return made.mirror._record.members[index].superblock.header.data_offset * SECTOR


def test_what_md_discarded_holds_nothing_to_be_checked() -> None:
    """Its members may each give something else there: no checksum of before may contradict one."""
    case = stopped()
    made = case.made
    md = case.md()
    md.write(PLACES[0], block("x"))
    for medium, other in zip(made.media, "yz", strict=True):
        medium.write(md.disks[0].data + PLACES[0], block(other))
    md.rest()
    made.start()
    made.settle()
    found = scrub(made)
    assert (found.wrong, found.lost, found.repaired) == (0, 0, 0)
    assert found.mismatches == 1, "nobody can know that it was a discard: told, and left alone"


@pytest.mark.parametrize("rotten", [0, 1])
def test_rot_in_what_md_did_not_write_is_put_right_by_the_table_that_still_holds(rotten: int) -> None:
    """The second was away while md ran the first: its superblock, and its checksums, are as we left them."""
    case = stopped()
    made = case.made
    runs_degraded_and_rests(case)
    place = PLACES[3]
    made.start()
    flip(made.media[rotten], start(made, rotten) + place)
    made.settle()
    found = scrub(made)
    assert not found.mismatches
    look(case)
    assert [bytes(raw(made, index).read(place, BLOCK)) for index in range(2)] == [case.holds[place]] * 2


def test_a_disk_that_md_replaced_takes_no_part_when_it_comes_back() -> None:
    case = stopped()
    made = case.made
    old = made.media[1]
    replaces_the_second(case)
    made.media.append(old)
    made.start()
    made.settle()
    look(case)
    assert not scrub(made).findings
    assert made.mirror._record.members[2].state is MemberState.SPARE


def test_mdadm_takes_what_is_written_here_for_md_s_own(tmp_path: Path) -> None:
    case = stopped()
    replaces_the_second(case)
    for index, medium in enumerate(case.made.media):
        file = tmp_path / medium.path
        with file.open("wb") as member:
            member.write(medium.read(0, MIB))
            member.truncate(SIZE)
        found = facts("mdadm", "--examine", str(file))
        assert found["Checksum"].endswith("- correct")
        assert found["Device Role"] == f"Active device {index}"
        assert (found["State"], found["Array State"][:2], found["Feature Map"]) == ("clean", "AA", "0x1")
