"""Keys of volumes on real files: a member that was away, rot in the header, bare disks."""

import contextlib
from pathlib import Path

import pytest

from tests.support.containers import SECOND, SIZE, own_header, stock_container, with_key
from tests.unit.server.maintenance.encrypted import (
    add,
    container_start,
    do,
    flip,
    make,
    make_bare,
    settled,
    start,
    tried,
)
from twinlock.errors import ContainerUnsupported, LastKey, NotPossibleNow, WrongPassphrase
from twinlock.luks.keyslots import remove_key
from twinlock.server.key_tasks import KeyList, KeyRemove, KeyResult, KeysResult
from twinlock.server.maintenance import keys
from twinlock.server.messages import VolumeSpec
from twinlock.server.volume import judge_members


def test_the_key_made_with_the_volume_is_noted_with_its_date(tmp_path: Path) -> None:
    listed = do(make(tmp_path, 1), KeyList())
    assert isinstance(listed, KeysResult)
    assert [(key.kind, key.since is not None) for key in listed.keys] == [("passphrase", True)]


def test_a_member_that_was_away_does_not_bring_a_removed_key_back(tmp_path: Path) -> None:
    """Nor does it keep it: catching up writes the wiped key material to it, too."""
    spec = make(tmp_path)
    add(spec, b"second")
    first, second = (Path(path) for path in spec.members)
    material = second.read_bytes()
    begin = container_start(second) + 32768
    material = material[begin : begin + 4096]
    first.rename(tmp_path / "away")
    done = do(spec, KeyRemove(number=0))
    assert isinstance(done, KeyResult)
    assert any(str(first) in remark for remark in done.remarks)
    (tmp_path / "away").rename(first)
    with pytest.raises(WrongPassphrase):
        start(spec, b"first")
    volume = start(spec, b"second")
    settled(volume)
    volume.close()
    assert material not in first.read_bytes()
    assert material not in second.read_bytes()
    alone = spec.model_copy(update={"members": (str(first),)})
    with pytest.raises(WrongPassphrase):
        tried(alone, b"first")
    tried(alone, b"second")


@pytest.mark.parametrize("checksums", [True, False])
@pytest.mark.parametrize("place", [100, 5000, 16384 + 100, 16384 + 5000])
@pytest.mark.parametrize("members", [1, 2])
def test_rot_in_a_copy_of_the_header(tmp_path: Path, members: int, place: int, checksums: bool) -> None:
    spec = make(tmp_path, members, checksums=checksums)
    rotten = Path(spec.members[0])
    flip(rotten, container_start(rotten) + place if place > 8 else place)
    start(spec).close()
    start(spec).close()
    tried(spec, b"first")


@pytest.mark.parametrize(
    ("members", "checksums", "opens"),
    [(2, True, True), (2, False, True), (1, True, False), (1, False, False)],
)
def test_rot_in_key_material(tmp_path: Path, members: int, checksums: bool, opens: bool) -> None:
    """The other member's is taken; with one member that key is lost, but not the others."""
    spec = make(tmp_path, members, checksums=checksums)
    add(spec, b"second")
    rotten = Path(spec.members[0])
    flip(rotten, container_start(rotten) + 32768 + 1000)
    start(spec, b"second").close()
    if opens:
        start(spec, b"first").close()
        return
    with pytest.raises(WrongPassphrase):
        start(spec, b"first")


def test_after_a_crash_a_look_reads_what_the_array_will(tmp_path: Path) -> None:
    """Data were written, their checksums not yet: no copy fits, and none of them is rotten."""
    spec = make(tmp_path)
    volume = start(spec)
    volume.mirror.write(0, volume.mirror.read(0, 4096))
    volume.mirror.flush()
    disks = {Path(path): Path(path).read_bytes() for path in spec.members}
    volume.close()
    for path, content in disks.items():
        path.write_bytes(content)
        flip(path, content.index(b"LUKS\xba\xbe") + 20000)
    with contextlib.ExitStack() as undo:
        seen = bytes(judge_members(spec, undo).read(16384, 16384))
    volume = start(spec)
    assert b"SKUL" in seen[:8]
    assert (
        seen[20000 - 16384]
        == disks[Path(spec.members[0])][container_start(Path(spec.members[0])) + 20000] ^ 1
    )
    volume.close()


def test_a_header_that_changed_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make(tmp_path, 1)
    monkeypatch.setattr(keys, "settle_header", lambda *_: bytes(2 << 20))
    before = Path(spec.members[0]).read_bytes()[container_start(Path(spec.members[0])) :]
    with pytest.raises(NotPossibleNow, match="differently"):
        add(spec, b"second")
    assert Path(spec.members[0]).read_bytes()[container_start(Path(spec.members[0])) :] == before


# -- bare disks -----------------------------------------------------------------------------------


def bare(folder: Path, kind: str) -> VolumeSpec:
    if kind == "own":
        return make_bare(folder, own_header())
    path = folder / "stock"
    stock_container(path, "luks2", "--sector-size", "2048") if kind == "2048" else stock_container(path, kind)
    return make_bare(folder, path.read_bytes())


@pytest.mark.parametrize("kind", ["own", "luks1", "2048"])
def test_keys_of_a_bare_disk(tmp_path: Path, kind: str) -> None:
    spec = bare(tmp_path, kind)
    add(spec, b"second")
    start(spec, b"second").close()
    do(spec, KeyRemove(number=0))
    with pytest.raises(WrongPassphrase):
        start(spec, b"first")
    with pytest.raises(LastKey):
        do(spec, KeyRemove(number=1))
    start(spec, b"second").close()


@pytest.mark.parametrize("place", [100, 5000, 16384 + 5000])
def test_rot_on_a_bare_disk(tmp_path: Path, place: int) -> None:
    spec = make_bare(tmp_path, own_header())
    flip(Path(spec.members[0]), place)
    start(spec).close()
    assert Path(spec.members[0]).read_bytes()[: len(own_header())] != bytes(len(own_header()))


def test_another_disk_in_its_place(tmp_path: Path) -> None:
    spec = make_bare(tmp_path, own_header())
    other = remove_key(with_key(own_header(), SECOND), array_size=SIZE, number=0).header
    Path(spec.members[0]).write_bytes(other.ljust(SIZE, b"\0"))
    with pytest.raises(ContainerUnsupported, match="connect the right disk"):
        do(spec, KeyList())
