"""Volumes whose keys are about to change, and what holds whatever becomes of that."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretBytes

from tests.support.containers import own_header, stock_container
from tests.support.power import Disk, Files, put_on_disk
from tests.support.steps import Step, recorded
from tests.unit.server.maintenance.encrypted import add, container_start, do, make, make_bare, start, tried
from twinlock.errors import WrongPassphrase
from twinlock.server.header_store import KEPT, HeaderStore
from twinlock.server.key_tasks import (
    HeaderBackup,
    HeaderRestore,
    HeadersResult,
    KeyAdd,
    KeyChange,
    KeyRemove,
)
from twinlock.server.message import Message
from twinlock.server.messages import VolumeSpec

OLD, OTHER, NEW, LATER = b"first", b"second", b"third", b"later"
BEFORE = frozenset([OLD, OTHER])
DATA = b"nothing of this may be lost.... " * 512


@dataclass(frozen=True)
class Place:
    """A volume with :data:`DATA` that the keys :data:`BEFORE` open, and how its files are.

    ``first``: a backup with OLD alone; ``backup``: of the header as it is, not kept yet.
    """

    spec: VolumeSpec
    files: Files
    first: bytes
    backup: bytes
    kept: tuple[bytes, ...]
    begin: int

    @property
    def root(self) -> Path:
        """Where the members are, and a folder with the store."""
        return Path(self.spec.members[0]).parent.resolve()

    @property
    def store(self) -> HeaderStore:
        """The volume's."""
        found = HeaderStore.of(self.spec)
        assert found is not None
        return found

    def headers(self, files: Files) -> list[bytes]:
        """What each member holds in the place of the header."""
        paths = (str(self.root / Path(path).name) for path in self.spec.members)
        held = (files[path] or b"" for path in paths)
        return [content[self.begin : self.begin + len(self.backup)] for content in held]

    def put(self, files: Files) -> None:
        """Have this on the disk."""
        put_on_disk(self.root, files)


@dataclass(frozen=True)
class Change:
    """A task, and the keys that open once it is done."""

    task: Callable[[Place], Message]
    after: frozenset[bytes]


def new_secret(kind: type[KeyAdd] | type[KeyChange]) -> Callable[[Place], Message]:
    task = kind(secret=SecretBytes(OLD), new_secret=SecretBytes(NEW), iter_time=0)
    return lambda _: task


CHANGES = {
    "add": Change(new_secret(KeyAdd), BEFORE | {NEW}),
    "change": Change(new_secret(KeyChange), frozenset([OTHER, NEW])),
    "remove": Change(lambda _: KeyRemove(number=0), frozenset([OTHER])),
    "restore": Change(lambda place: HeaderRestore(content=place.first, source="file"), frozenset([OLD])),
}


def two_members(folder: Path) -> VolumeSpec:
    return make(folder, 2)


def luks1(folder: Path) -> VolumeSpec:
    stock_container(folder / "stock", "luks1")
    header = (folder / "stock").read_bytes()
    (folder / "stock").unlink()
    return make_bare(folder, header)


def luks2(folder: Path) -> VolumeSpec:
    return make_bare(folder, own_header())


def backup_now(spec: VolumeSpec) -> bytes:
    done = do(spec, HeaderBackup())
    assert isinstance(done, HeadersResult)
    return Path(done.kept[0].path).read_bytes()


def place_of(root: Path, kind: Callable[[Path], VolumeSpec], *, full: bool) -> Place:
    """``full``: as many backups are kept as may be; else there is not even a folder."""
    root.mkdir()
    spec = kind(root)
    volume = start(spec)
    volume.device.write(0, DATA)
    volume.close()
    begin = 0 if spec.layout == "bare" else container_start(Path(spec.members[0]))
    first = backup_now(spec)
    add(spec, OTHER)
    backup = backup_now(spec)
    place = Place(spec, {}, first, backup, (), begin)
    place.store.forget(place.store.backups())
    for number in range(KEPT if full else 0):
        place.store.keep((first, backup)[number % 2 == KEPT % 2], 1000.0 + number)
    if not full:
        place.store.folder.rmdir()
        place.store.folder.parent.rmdir()
    kept = tuple(path.read_bytes() for path in place.store.backups())
    assert not kept or kept[-1] == first
    return Place(spec, now_in(root), first, backup, kept, begin)


def now_in(root: Path) -> Files:
    """All files, as they are."""
    found = sorted(root.resolve().rglob("*"))
    return {str(path): None if path.is_dir() else path.read_bytes() for path in found}


def opening(spec: VolumeSpec, keys: frozenset[bytes]) -> frozenset[bytes]:
    found = set()
    for key in keys:
        try:
            tried(spec, key)
            found.add(key)
        except WrongPassphrase:
            pass
    return frozenset(found)


def judge_backups(place: Place) -> None:
    """They are whole, none is missed, and there is one of what was before if that is no more."""
    backups = [path.read_bytes() for path in place.store.backups()]
    assert set(backups) <= {place.first, place.backup}
    assert len(backups) >= len(place.kept)
    if place.headers(now_in(place.root)) != place.headers(place.files):
        assert backups[-1] == place.backup


def steps_of(place: Place, name: str) -> list[Step]:
    """Of the whole task; nothing that it changed escaped notice."""
    place.put(place.files)
    disk = Disk.of(place.root)
    steps = recorded(place.root, lambda: do(place.spec, CHANGES[name].task(place)))
    for step in steps:
        disk.take(step)
    assert {path: file and bytes(file.now) for path, file in disk.now.items()} == now_in(place.root)
    return steps
