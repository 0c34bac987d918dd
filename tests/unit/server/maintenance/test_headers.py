"""Headers put back: onto damage, of others, and onto what is not known to be the volume's disk."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.support.containers import SIZE, own_header
from tests.unit.server.maintenance.encrypted import add, container_start, do, make, make_bare, start, tried
from twinlock.errors import ContainerUnsupported, HeaderBackupUnusable, NotPossibleNow, WrongPassphrase
from twinlock.luks.copies import whole_copies
from twinlock.server.key_tasks import (
    HeaderBackup,
    HeaderForget,
    HeaderList,
    HeaderRestore,
    HeaderResult,
    HeadersResult,
    KeyRemove,
)
from twinlock.server.maintenance.context import Context
from twinlock.server.maintenance.registry import carry_out
from twinlock.server.messages import VolumeSpec
from twinlock.server.service import Service
from twinlock.server.volume import Volume
from twinlock.units import MIB


def backup(spec: VolumeSpec) -> bytes:
    done = do(spec, HeaderBackup())
    assert isinstance(done, HeadersResult)
    return Path(done.kept[0].path).read_bytes()


def put_back(spec: VolumeSpec, content: bytes, *, force: bool = False) -> HeaderResult:
    done = do(spec, HeaderRestore(content=content, source="file", force=force))
    assert isinstance(done, HeaderResult)
    return done


def overwrite(spec: VolumeSpec, content: bytes) -> None:
    """In the place of the header, on every member, behind everybody's back."""
    for path in map(Path, spec.members):
        begin = container_start(path)
        with path.open("r+b") as file:
            file.seek(begin)
            file.write(content)


def test_onto_a_header_that_cannot_be_read(tmp_path: Path) -> None:
    spec = make(tmp_path, 1, checksums=False)
    kept = backup(spec)
    overwrite(spec, b"\xa5" * 40960)
    with pytest.raises(ContainerUnsupported):
        start(spec)
    foreign = own_header()
    with pytest.raises(HeaderBackupUnusable, match="none that this volume had"):
        put_back(spec, foreign)
    before = Path(put_back(spec, kept).before).read_bytes()
    assert before[:40960] == b"\xa5" * 40960
    start(spec).close()


def test_a_removed_key_comes_back_with_an_old_header_only(tmp_path: Path) -> None:
    spec = make(tmp_path)
    old = backup(spec)
    add(spec, b"second")
    do(spec, KeyRemove(number=0))
    with pytest.raises(WrongPassphrase):
        tried(spec, b"first")
    put_back(spec, old)
    tried(spec, b"first")
    with pytest.raises(WrongPassphrase):
        tried(spec, b"second")


def test_key_material_that_an_old_header_does_not_know_is_wiped(tmp_path: Path) -> None:
    """Whoever puts a header back to be rid of a key is rid of it."""
    spec = make(tmp_path, 2)
    old = backup(spec)
    add(spec, b"second")
    area = dict(whole_copies(backup(spec))[0].slots)[1]
    disks = [Path(path) for path in spec.members]
    places = [
        slice(start + area.offset, start + area.offset + area.size) for start in map(container_start, disks)
    ]
    held = [disk.read_bytes()[place] for disk, place in zip(disks, places, strict=True)]
    assert any(held[0])
    assert held[0] == held[1]
    put_back(spec, old)
    for disk, place in zip(disks, places, strict=True):
        assert not any(disk.read_bytes()[place])
        assert held[0][:4096] not in disk.read_bytes()


def test_of_another_container_with_force_alone(tmp_path: Path) -> None:
    spec = make(tmp_path, 1)
    ours, foreign = backup(spec), own_header()
    with pytest.raises(HeaderBackupUnusable, match="belongs to container"):
        put_back(spec, foreign)
    put_back(spec, foreign, force=True)
    put_back(spec, ours, force=True)
    start(spec).close()


def test_a_backup_with_one_copy_damaged_is_put_back_whole(tmp_path: Path) -> None:
    spec = make(tmp_path, 1)
    damaged = bytearray(backup(spec))
    damaged[5000] ^= 1
    put_back(spec, bytes(damaged))
    content = Path(spec.members[0]).read_bytes()
    assert bytes(damaged[:16384]) not in content
    start(spec).close()


def test_onto_a_bare_disk(tmp_path: Path) -> None:
    spec = make_bare(tmp_path, own_header())
    disk, kept = Path(spec.members[0]), backup(spec)
    disk.write_bytes(bytes(SIZE))
    with pytest.raises(HeaderBackupUnusable, match="nothing else tells"):
        put_back(spec, kept)
    assert not any(disk.read_bytes())
    with pytest.raises(HeaderBackupUnusable, match="but the volume is of"):
        put_back(spec, own_header(), force=True)
    put_back(spec, kept, force=True)
    start(spec).close()
    disk.write_bytes(own_header().ljust(SIZE, b"\0"))
    with pytest.raises(ContainerUnsupported, match="connect the right one"):
        put_back(spec, kept, force=True)


# -- while the volume is unlocked -----------------------------------------------------------------


def put_back_open(spec: VolumeSpec, volume: Volume, content: bytes, *, force: bool = False) -> HeaderResult:
    service = SimpleNamespace(store=volume.mirror, mirror=volume.mirror)
    lock = Path(spec.members[0]).parent / "lock"
    context = Context(spec, cast(Service, service), wanted=lambda: True, derivation_lock=lock)
    done = carry_out(HeaderRestore(content=content, source="file", force=force), context)
    assert isinstance(done, HeaderResult)
    return done


@pytest.mark.parametrize("force", [False, True])
def test_under_an_open_volume_no_other_container_is_put(tmp_path: Path, force: bool) -> None:
    """Its data go on being written with the key it was opened with."""
    spec = make(tmp_path, 1)
    volume = start(spec)
    before = bytes(volume.mirror.read(0, MIB))
    with pytest.raises(NotPossibleNow, match="is unlocked, and it belongs to container"):
        put_back_open(spec, volume, own_header(), force=force)
    assert bytes(volume.mirror.read(0, MIB)) == before
    volume.close()
    start(spec).close()


@pytest.mark.parametrize("force", [False, True])
def test_under_an_open_volume_whose_header_is_gone_only_its_own_is_put(tmp_path: Path, force: bool) -> None:
    spec = make(tmp_path, 1)
    kept = backup(spec)
    volume = start(spec)
    volume.mirror.write(0, b"\xa5" * 40960)
    with pytest.raises(NotPossibleNow, match="nothing tells"):
        put_back_open(spec, volume, own_header(), force=force)
    put_back_open(spec, volume, kept)
    volume.close()
    start(spec).close()


def test_an_older_header_of_the_same_key_is_put_under_an_open_volume(tmp_path: Path) -> None:
    spec = make(tmp_path)
    kept = backup(spec)
    add(spec, b"second")
    volume = start(spec, b"second")
    assert put_back_open(spec, volume, kept).keys == (0,)
    volume.close()
    with pytest.raises(WrongPassphrase):
        tried(spec, b"second")


def test_forgetting_keeps_what_is_there_now(tmp_path: Path) -> None:
    spec = make(tmp_path, 1)
    add(spec, b"second")
    now = backup(spec)
    assert backup(spec) == now
    done = do(spec, HeaderForget())
    assert isinstance(done, HeadersResult)
    assert [Path(each.path).read_bytes() for each in done.kept] == [now]
    assert do(spec, HeaderList()) == done
    assert re.fullmatch(r"\d{8}T\d{6}Z-\d{4}\.luks", done.kept[0].name)
