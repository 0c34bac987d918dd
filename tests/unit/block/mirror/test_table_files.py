"""A folder of checksums that fails costs the checksums: no member, no data, and no false word later."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.block.arrays import BLOCK, UUID, Clock, Notes
from tests.unit.block.formats import make_array
from twinlock.block.checked.device import TableState
from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import MemberState, read_member
from twinlock.block.mirror.mirror import IDLE, Mirror
from twinlock.block.mirror.scrub_status import ScrubState
from twinlock.block.mirror.stack import open_data
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.native.checksum import UNKNOWN, entries_of
from twinlock.units import MIB

A, B, C = (bytes([letter]) * BLOCK for letter in b"abc")
SIZE = 16 * MIB


class Heard(Notes):
    def __init__(self) -> None:
        super().__init__()
        self.tables_lost: list[int] = []

    def checksums_lost(self, index: int, error: DeviceError) -> None:
        self.tables_lost.append(index)


class Volume:
    """Two files of metadata 1.0, with a folder for their checksums."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / "left", folder / "right"]
        self.tables = folder / "tables"
        self.clock, self.notes = Clock(), Heard()
        make_array("1.0", devices := [FileDevice.open(path, size=SIZE) for path in self.paths])
        for device in devices:
            device.close()
        self.mirror = self.start()
        self.settle()
        self.mirror.write(0, A + B)
        self.mirror.flush()

    def start(self) -> Mirror:
        members = [read_member(FileDevice.open(path)) for path in self.paths]
        self.mirror = Mirror.assemble(
            members, expected_uuid=UUID, clock=self.clock, observer=self.notes, tables=self.tables
        )
        return self.mirror

    def settle(self) -> None:
        for _ in range(4):
            self.clock.now += 61
            while self.mirror.step() < IDLE:
                pass

    def kill(self) -> None:
        """The process is gone; the page cache is not."""
        for member in self.mirror._record.members:
            member.close()

    @property
    def states(self) -> list[str | None]:
        return [member.checksums for member in self.mirror.status().members]


def refuse(error: DeviceError) -> Callable[..., None]:
    def act(*_arguments: object) -> None:
        raise error

    return act


def break_file(volume: Volume, index: int, *operations: str, error: DeviceError) -> None:
    """Let operations fail; one "after" which that is told has been done all the same."""
    checked = volume.mirror._record.members[index].checked
    assert checked is not None
    assert checked.place.own
    device = checked.place.device
    for operation in operations:
        name = operation.removeprefix("after ")
        act = refuse(error)
        setattr(device, name, after(getattr(device, name), act) if name != operation else act)


def after(act: Callable[..., None], then: Callable[..., None]) -> Callable[..., None]:
    def both(*arguments: object) -> None:
        act(*arguments)
        then()

    return both


BROKEN = {
    "a page cannot be written": (("write",), WriteFailed("worn out")),
    "nor its header": (("write_durable",), WriteFailed("worn out")),
    "its header can, and it is not said": (("after write_durable",), WriteFailed("worn out")),
    "the folder cannot be flushed": (("flush",), WriteFailed("worn out")),
    "the folder is full": (("write", "write_durable", "flush"), SpaceExhausted("full")),
    "the file is gone": (("read", "write", "write_durable", "flush"), DeviceGone("cut")),
}


@pytest.mark.parametrize("what", BROKEN)
@pytest.mark.parametrize("index", [0, 1])
def test_a_file_of_checksums_that_fails_fails_no_member(tmp_path: Path, index: int, what: str) -> None:
    volume = Volume(tmp_path)
    operations, error = BROKEN[what]
    break_file(volume, index, *operations, error=error)
    volume.mirror.write(BLOCK, C)
    volume.mirror.flush()
    volume.settle()
    volume.mirror.write(0, B)
    volume.mirror.flush()
    expected: list[str | None] = [TableState.ON, TableState.ON]
    expected[index] = TableState.LOST
    assert volume.states == expected
    assert volume.notes.tables_lost == [index]
    assert volume.notes.failed == []
    assert [member.state for member in volume.mirror.status().members] == [MemberState.IN_SYNC] * 2
    assert bytes(volume.mirror.read_medium(0, 2 * BLOCK)) == B + C
    volume.mirror.close()


@pytest.mark.parametrize("what", BROKEN)
def test_a_table_that_was_lost_is_never_trusted_again(tmp_path: Path, what: str) -> None:
    """The file is whole, and reads as before; what was written since it failed is not rotten."""
    volume = Volume(tmp_path)
    volume.settle()
    operations, error = BROKEN[what]
    for index in (0, 1):
        break_file(volume, index, *operations, error=error)
    volume.mirror.write(0, B + C)
    volume.mirror.flush()
    volume.mirror._intent.sweep(volume.mirror.flush)
    volume.mirror._intent.sweep(volume.mirror.flush)  # no chunk is marked: what is there counts as flushed
    volume.kill()
    volume.start()
    assert bytes(volume.mirror.read(0, 2 * BLOCK)) == B + C
    assert volume.states == [TableState.REBUILDING] * 2
    volume.settle()
    assert volume.states == [TableState.ON] * 2
    assert volume.notes.wrong == []
    volume.mirror.close()


def test_a_scrub_reports_what_differs_though_the_checksums_are_lost(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    for index in (0, 1):
        break_file(volume, index, "read_medium", "flush", "write_durable", error=WriteFailed("worn out"))
    volume.mirror._record.members[1].device.write(0, C)
    volume.mirror.start_scrub()
    while volume.mirror.scrub_status.state is ScrubState.RUNNING:
        volume.clock.now += 0.1
        volume.mirror.step()
    assert volume.states == [TableState.LOST] * 2
    assert volume.mirror.scrub_status.mismatches == 1
    assert volume.notes.failed == []
    volume.mirror.close()


def test_pages_that_cannot_be_read_say_nothing_and_lose_nothing(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    volume.mirror.close()
    volume.start()
    break_file(volume, 0, "read", error=MediumError("bad sector"))
    assert bytes(volume.mirror.read(0, 2 * BLOCK)) == A + B
    assert volume.states == [TableState.ON] * 2
    assert volume.notes.failed == volume.notes.tables_lost == []
    volume.mirror.close()


def test_a_file_of_checksums_grows_with_its_array(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    size = volume.mirror.size
    volume.mirror.close()
    member = read_member(FileDevice.open(volume.paths[0]))
    for path in volume.tables.iterdir():
        path.unlink()
    open_data(member, 6 * MIB, volume.tables)
    table = member.checked
    assert table is not None
    table.cover(entries_of(bytes(6 * MIB)))
    member.data.write(6 * MIB - BLOCK, C)
    member.data.flush()
    table.persist()
    before = table.place.capacity
    for _ in range(2):  # at once, and after a restart
        open_data(member, size, volume.tables)
        grown = member.checked
        assert grown is not None
        assert grown.place.capacity > before
        assert grown.covered == 6 * MIB
        assert grown.entries(6 * MIB - BLOCK, 2 * BLOCK) == entries_of(C) + UNKNOWN
        grown.place.device.close()
        member.checked = None
    member.close()
