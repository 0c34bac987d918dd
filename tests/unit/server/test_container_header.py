"""A crash at every step of a header change costs no key; damage to one copy is repaired."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest

from tests.support.containers import (
    CHEAP,
    FIRST,
    PASSPHRASE,
    SECOND,
    SIZE,
    THIRD,
    header_of,
    opens,
    own_header,
    stock_container,
    stock_opens,
    with_key,
)
from tests.support.recording_device import RecordingDevice
from twinlock.errors import (
    ContainerUnsupported,
    HeaderBackupUnusable,
    HeaderNotWritten,
    MediumError,
    WriteFailed,
)
from twinlock.luks.backup import backup_of, repaired, restored
from twinlock.luks.copies import named, whole_copies
from twinlock.luks.keyslots import change_key, remove_key
from twinlock.luks.opening import Attempt
from twinlock.server import header_store
from twinlock.server.container_header import change_header, find_header, replace_header, write_back
from twinlock.server.header_store import KEPT, HeaderStore

KINDS = ("luks1", "luks2")
NEWER = b"newer"


class CutDevice(RecordingDevice):
    """Keeps every write with the medium before it, to be cut there."""

    def __init__(self, content: bytes) -> None:
        super().__init__(SIZE)
        self.data[: len(content)] = content
        self.writes: list[tuple[bytes, int, bytes]] = []
        self.steps: list[tuple[bytes, list[tuple[int, bytes]]]] = [(bytes(self.data), [])]

    def write(self, offset: int, data: object) -> None:
        stored = bytes(data)  # type: ignore[call-overload]
        self.writes.append((bytes(self.data), offset, stored))
        self.steps[-1][1].append((offset, stored))
        super().write(offset, stored)

    def subsets(self, count: int) -> Iterator[bytes]:
        """What it may hold if some sectors of what was not flushed reached it, and others did not."""
        chance = random.Random(1)
        for before, writes in self.steps:
            for _ in range(count):
                state = bytearray(before)
                for offset, data in writes:
                    for start in range(0, len(data), 512):
                        if chance.random() < 0.5:
                            state[offset + start : offset + start + 512] = data[start : start + 512]
                yield bytes(state)

    def flush(self) -> None:
        super().flush()
        self.steps.append((bytes(self.data), []))

    def states(self, cuts: Callable[[int], Iterator[int]]) -> Iterator[bytes]:
        """What the medium may hold if the power goes in the middle of each write."""
        for before, offset, data in self.writes:
            for cut in cuts(len(data)):
                yield before[:offset] + data[:cut] + before[offset + cut :]


@dataclass(frozen=True)
class Case:
    """A change: the header before and after; each group has a key that opens at any time."""

    before: bytes
    after: bytes
    always: tuple[bytes, ...]
    old: bytes | None
    new: bytes | None
    replaces: bool = False


def change(header: bytes, old: bytes, new: bytes) -> bytes:
    return change_key(
        header, array_size=SIZE, secret=old, new_secret=new, note=PASSPHRASE, cost=CHEAP, attempt=Attempt("v")
    ).header


@pytest.fixture(scope="module", params=KINDS)
def header(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Opened by FIRST in keyslot 0 and SECOND in keyslot 1."""
    path = tmp_path_factory.mktemp("stock") / "container"
    stock_container(path, request.param)
    return with_key(header_of(path), SECOND)


def adding(header: bytes) -> Case:
    return Case(header, with_key(header, THIRD), (FIRST, SECOND), None, THIRD)


def removing(header: bytes) -> Case:
    return Case(header, remove_key(header, array_size=SIZE, number=1).header, (FIRST,), SECOND, None)


def changing(header: bytes) -> Case:
    return Case(header, change(header, SECOND, THIRD), (FIRST,), SECOND, THIRD)


def restoring(header: bytes) -> Case:
    """The backup's key material lies where that of another key is now."""
    backup = backup_of(remove_key(header, array_size=SIZE, number=1).header)
    without = remove_key(change(header, FIRST, THIRD), array_size=SIZE, number=1).header
    now = change(without, THIRD, NEWER)
    return Case(now, restored(now, backup), (), NEWER, FIRST, replaces=True)


CASES = (adding, removing, changing, restoring)


def a_few(length: int) -> Iterator[int]:
    yield from (0, length // 1024 * 512)


def every_sector(length: int) -> Iterator[int]:
    """All of a header's copy; of key material some."""
    yield from range(0, length, 512 if length <= 16384 else 512 * 97)


def run(case: Case, store: HeaderStore, device: RecordingDevice) -> None:
    work = replace_header if case.replaces else change_header
    work(device, store, case.before, case.after, 0.0)


def judge(case: Case, content: bytes) -> None:
    assert all(opens(content, secret) for secret in case.always)
    if case.old and case.new:
        assert opens(content, case.old) != opens(content, case.new)


def crash_everywhere(
    case: Case, folder: Path, cuts: Callable[[int], Iterator[int]], subsets: int = 1
) -> None:
    """After each crash the container opens as promised, and its next opening tidies up."""
    device = CutDevice(case.before)
    run(case, HeaderStore(folder / "first"), device)
    assert bytes(device.data[: len(case.after)]) == case.after
    stopped = StoppedStore(folder / "store")
    with pytest.raises(InterruptedError):
        run(case, stopped, RecordingDeviceOf(case.before))
    journal = (folder / "store/change.json").read_bytes()
    for number, state in enumerate(chain(device.states(cuts), device.subsets(subsets))):
        store = HeaderStore(folder / "store")
        (store.folder / "change.json").write_bytes(journal)
        medium = RecordingDeviceOf(state)
        found = find_header(medium, store)
        judge(case, found.good)
        write_back(medium, found, store, "v")
        settled = bytes(medium.data[: len(case.after)])
        assert settled == found.good, number
        assert case.before[32768:] == settled[32768:] or case.after[32768:] == settled[32768:], number
        assert store.journal() is None
        assert find_header(medium, store).news == ()


class StoppedStore(HeaderStore):
    """Stops before the first write to the medium: the journal is left."""

    def begin(self, journal: object) -> None:
        super().begin(journal)  # type: ignore[arg-type]
        raise InterruptedError


class RecordingDeviceOf(RecordingDevice):
    """With contents."""

    def __init__(self, content: bytes) -> None:
        super().__init__(SIZE)
        self.data[: len(content)] = content


@pytest.mark.parametrize("make", CASES)
def test_a_crash_at_every_write(header: bytes, make: Callable[[bytes], Case], tmp_path: Path) -> None:
    crash_everywhere(make(header), tmp_path, a_few)


@pytest.mark.long
@pytest.mark.parametrize("make", CASES)
def test_a_crash_in_every_sector(header: bytes, make: Callable[[bytes], Case], tmp_path: Path) -> None:
    crash_everywhere(make(header), tmp_path, every_sector, subsets=30)


@pytest.mark.parametrize(
    "make", [changing, *(pytest.param(each, marks=pytest.mark.long) for each in (adding, removing))]
)
def test_luks2_needs_no_journal_for_its_keys(make: Callable[[bytes], Case], tmp_path: Path) -> None:
    """The disks alone, on another machine."""
    case = make(with_key(own_header(), SECOND))
    device = CutDevice(case.before)
    run(case, HeaderStore(tmp_path / "store"), device)
    for state in device.states(a_few):
        judge(case, repaired(state[: len(case.before)], array_size=SIZE))


def test_each_step_is_flushed_before_the_next(tmp_path: Path) -> None:
    case = changing(with_key(own_header(), SECOND))
    device = RecordingDeviceOf(case.before)
    run(case, HeaderStore(tmp_path / "store"), device)
    kinds = [call[0] for call in device.calls]
    assert kinds == ["write", "flush"] * 4
    places = [int(str(call[1])) for call in device.calls if call[0] == "write"]
    assert places[1:3] == [0, 16384]
    assert min(places[0], places[3]) >= 32768


@pytest.mark.parametrize("damaged", [0, 16384])
def test_the_copy_that_is_damaged_is_written_first(damaged: int, tmp_path: Path) -> None:
    """The other one is all there is until it is whole."""
    case = changing(with_key(own_header(), SECOND))
    before = bytearray(case.before)
    before[damaged + 5000] ^= 1
    device = RecordingDeviceOf(bytes(before))
    change_header(device, HeaderStore(tmp_path / "store"), bytes(before), case.after, 0.0)
    places = [int(str(call[1])) // 16384 for call in device.calls if call[0] == "write"]
    assert next(place for place in places if place < 2) == damaged // 16384


def test_nothing_is_written_where_no_backup_can_be_kept(tmp_path: Path) -> None:
    case = adding(own_header_with_second())
    (tmp_path / "file").write_text("")
    for store in (None, HeaderStore(tmp_path / "file/below")):
        device = RecordingDeviceOf(case.before)
        with pytest.raises(HeaderBackupUnusable):
            change_header(device, store, case.before, case.after, 0.0)
        assert device.calls == []


def own_header_with_second() -> bytes:
    return with_key(own_header(), SECOND)


class FailingDevice(RecordingDeviceOf):
    """The second write fails."""

    def write(self, offset: int, data: object) -> None:
        if any(call[0] == "write" for call in self.calls):
            raise WriteFailed("gone")
        super().write(offset, data)  # type: ignore[arg-type]


def test_a_medium_that_fails_on_the_way_is_told_and_settled_later(tmp_path: Path) -> None:
    case, store = adding(own_header_with_second()), HeaderStore(tmp_path / "store")
    device = FailingDevice(case.before)
    with pytest.raises(HeaderNotWritten):
        run(case, store, device)
    healed = RecordingDeviceOf(bytes(device.data))
    found = find_header(healed, store)
    assert "undone" in found.news[0]
    write_back(healed, found, store, "v")
    assert bytes(healed.data[: len(case.before)]) == case.before


class Twins(RecordingDeviceOf):
    """Two members, of which the first answers; the second stands behind."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(first)
        self.second = RecordingDeviceOf(second)

    def write(self, offset: int, data: object) -> None:
        super().write(offset, data)  # type: ignore[arg-type]
        self.second.write(offset, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("first_has_all", [True, False])
def test_the_journal_goes_when_every_member_holds_the_same_durably(
    header: bytes, tmp_path: Path, first_has_all: bool
) -> None:
    """A process killed between two members, and before the flush: the one that answers tells half of it."""
    case, store = changing(header), StoppedStore(tmp_path / "store")
    with pytest.raises(InterruptedError):
        run(case, store, RecordingDeviceOf(case.before))
    torn = case.after[:512] + case.before[512:]
    twins = Twins(case.after if first_has_all else case.before, torn)
    found = find_header(twins, store)
    write_back(twins, found, store, "v")
    length = len(case.after)
    assert twins.data[:length] == twins.second.data[:length] == found.good
    assert twins.calls[-1] == ("flush",)
    assert store.journal() is None


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    case, store = adding(own_header_with_second()), HeaderStore(tmp_path / "store")

    class Lying(RecordingDeviceOf):
        def write(self, offset: int, data: object) -> None:
            if offset != 16384:
                super().write(offset, data)  # type: ignore[arg-type]

    with pytest.raises(HeaderNotWritten, match="reads differently"):
        run(case, store, Lying(case.before))
    assert store.journal() is not None


def test_a_journal_that_stays_is_told_though_the_change_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds what was before: a key that was removed is in it still."""
    case, store = adding(own_header_with_second()), HeaderStore(tmp_path / "store")
    device = RecordingDeviceOf(case.before)

    def refuse(_: HeaderStore) -> None:
        raise HeaderBackupUnusable(path=tmp_path, reason="Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(HeaderStore, "finish", refuse)
        with pytest.raises(HeaderNotWritten, match="journal stays in"):
            run(case, store, device)
    assert bytes(device.data[: len(case.after)]) == case.after
    found = find_header(device, store)
    assert found.good == case.after
    write_back(device, found, store, "v")
    assert store.journal() is None


# -- somebody else, and damage --------------------------------------------------------------------


def test_what_others_changed_after_a_crash_stays(header: bytes, tmp_path: Path) -> None:
    case, store = removing(header), StoppedStore(tmp_path / "store")
    with pytest.raises(InterruptedError):
        run(case, store, RecordingDeviceOf(case.before))
    path = tmp_path / "container"
    path.write_bytes(with_key(case.before, THIRD).ljust(SIZE, b"\0"))
    medium = RecordingDeviceOf(path.read_bytes())
    found = find_header(medium, store)
    assert "changed since" in found.news[0]
    assert found.good == found.medium
    assert opens(found.good, THIRD)


@pytest.mark.parametrize("where", [0, 5000, 16384, 20000])
def test_a_flip_in_either_copy_is_repaired_on_the_medium(
    where: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = own_header()
    device = RecordingDeviceOf(whole)
    device.data[where] ^= 1
    found = find_header(device, None)
    assert "was damaged" in found.news[0]
    write_back(device, found, None, "v")
    assert "volume v: one of the two copies" in caplog.text
    again = find_header(device, None)
    assert again.news == ()
    assert opens(again.good, FIRST)
    written = [call[1] for call in device.calls if call[0] == "write"]
    assert {int(str(offset)) // 16384 for offset in written} == {where // 16384}, (
        "the whole copy is left alone"
    )


@pytest.mark.parametrize("bit", [0, 7])
def test_no_flip_in_a_binary_header_stops_the_other_copy(bit: int) -> None:
    whole = own_header()[:32768]
    for place in range(480):  # what follows is no part of a SHA-256
        header = bytearray(whole)
        header[place] ^= 1 << bit
        assert [copy.place.offset for copy in whole_copies(bytes(header))] == [16384], place


def test_a_flip_in_luks1_costs_no_more_than_a_key(tmp_path: Path) -> None:
    """Nothing in it has a checksum: numbers may be anything."""
    path = tmp_path / "container"
    stock_container(path, "luks1")
    whole = header_of(path)
    for place in range(104, 256):
        for bit in (0x01, 0x80):
            header = bytearray(whole)
            header[place] ^= bit
            assert max(named(whole_copies(bytes(header))), default=0) < len(header), place


def test_flips_in_both_copies_are_refused() -> None:
    device = RecordingDeviceOf(own_header())
    device.data[5000] ^= 1
    device.data[20000] ^= 1
    with pytest.raises(ContainerUnsupported):
        find_header(device, None)


def test_a_flip_in_key_material_costs_that_key_alone() -> None:
    device = RecordingDeviceOf(own_header_with_second())
    device.data[32768 + 1000] ^= 1
    found = find_header(device, None)
    assert found.news == ()
    assert not opens(found.good, FIRST)
    assert opens(found.good, SECOND)


class Unreadable(RecordingDeviceOf):
    """The first block cannot be read until it is written."""

    def read(self, offset: int, length: int) -> bytes:
        if offset == 0 and not self.calls:
            raise MediumError("unreadable", offset=0)
        return super().read(offset, length)


def test_a_copy_that_cannot_be_read_is_rewritten() -> None:
    device = Unreadable(own_header())
    found = find_header(device, None)
    assert opens(found.good, FIRST)
    write_back(device, found, None, "v")
    assert find_header(device, None).news == ()


def test_stock_cryptsetup_agrees_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "container"
    stock_container(path, "luks1")
    case = adding(with_key(header_of(path), SECOND))
    device = RecordingDeviceOf(case.before)
    run(case, HeaderStore(tmp_path / "store"), device)
    path.write_bytes(device.data)
    assert all(stock_opens(path, secret) for secret in (FIRST, SECOND, THIRD))


# -- what is kept ---------------------------------------------------------------------------------


def test_backups_are_private_and_bounded(tmp_path: Path) -> None:
    store = HeaderStore(tmp_path / "headers/v")
    kept = [store.keep(bytes([number]) * 4096, 1000.0 + number // 2) for number in range(KEPT + 3)]
    assert store.backups() == kept[3:]
    assert {path.stat().st_mode & 0o777 for path in store.backups()} == {0o600}
    assert store.folder.stat().st_mode & 0o777 == 0o700
    store.forget(store.backups())
    assert store.backups() == []


def test_the_newest_backup_is_kept_also_where_the_clock_went_back(tmp_path: Path) -> None:
    store = HeaderStore(tmp_path / "headers/v")
    for number in range(KEPT + 12):
        kept = store.keep(bytes([number]) * 4096, 1e9 if number % 3 else 0.0)
        assert store.backups()[-1] == kept
        assert kept.read_bytes() == bytes([number]) * 4096
    assert [path.read_bytes()[0] for path in store.backups()] == list(range(12, KEPT + 12))


def test_the_same_again_pushes_nothing_out(tmp_path: Path) -> None:
    store = HeaderStore(tmp_path / "headers/v")
    first = store.keep(b"a" * 4096, 1.0)
    second = store.keep(b"b" * 4096, 2.0)
    assert [store.keep(b"b" * 4096, float(number)) for number in range(20)] == [second] * 20
    assert store.backups() == [first, second]


def test_a_backup_that_is_taken_again_is_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made it may have been killed before its name was."""
    store = HeaderStore(tmp_path / "v")
    store.keep(b"a" * 4096, 1.0)
    flushed: list[Path] = []
    monkeypatch.setattr(header_store, "sync_folder", flushed.append)
    store.keep(b"a" * 4096, 2.0)
    assert flushed == [store.folder]


def test_files_of_others_stay_and_remains_of_a_crash_go(tmp_path: Path) -> None:
    store = HeaderStore(tmp_path / "v")
    store.keep(b"a" * 4096, 1.0)
    mine, remains = store.folder / "mine.luks", store.folder / "change.new"
    mine.write_bytes(b"mine")
    remains.write_bytes(b"key material")
    store.keep(b"b" * 4096, 1.0)
    assert (mine.exists(), remains.exists(), len(store.backups())) == (True, False, 2)
    remains.write_bytes(b"key material")
    store.forget(store.backups())
    assert (mine.exists(), remains.exists(), len(store.backups())) == (True, False, 0)


def test_a_journal_with_a_flip_is_no_journal(tmp_path: Path) -> None:
    case, store = adding(own_header_with_second()), StoppedStore(tmp_path)
    with pytest.raises(InterruptedError):
        run(case, store, RecordingDeviceOf(case.before))
    content = bytearray((tmp_path / "change.json").read_bytes())
    content[len(content) // 2] = ord("A") if content[len(content) // 2] != ord("A") else ord("B")
    (tmp_path / "change.json").write_bytes(content)
    assert store.journal() is None


def test_a_journal_that_cannot_be_read_stops_nobody(tmp_path: Path) -> None:
    store = HeaderStore(tmp_path)
    for content in (
        b"",
        b"[]",
        b"{}",
        b'{"version": 2, "changes": []}',
        b'{"version":1,"changes":[[0,"QQ==",""]]}',
    ):
        (tmp_path / "change.json").write_bytes(content)
        assert store.journal() is None
