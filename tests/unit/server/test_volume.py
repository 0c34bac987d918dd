"""Which members a volume starts with."""

import fcntl
import logging
import os
from pathlib import Path
from uuid import UUID

import pytest

from tests.support import foreign
from twinlock.block.file import FileDevice
from twinlock.block.mirror.member import MemberState
from twinlock.errors import (
    ArrayUnsupported,
    MemberInUse,
    MemberMissing,
    MemberOfOtherArray,
    MemberUnusable,
    NoMemberUsable,
    NotAMember,
    TwinlockError,
)
from twinlock.server.create import create_volume
from twinlock.server.messages import Create, VolumeSpec
from twinlock.server.volume import Volume, open_volume
from twinlock.units import MIB

TARGET = "iqn.2026-11.io.twinlock:backup"


def make(folder: Path, name: str = "backup") -> VolumeSpec:
    """A plain volume of two files, and what describes it."""
    members = tuple(str(folder / f"{name}-{number}") for number in range(2))
    spec = VolumeSpec(name=name, members=members, encrypted=False, target=TARGET)
    made = create_volume(
        Create(spec=spec, size=16 * MIB, force=False, derivation_lock=str(folder / "lock")),
        wanted=lambda: True,
    )
    return spec.model_copy(update={"array": made.array})


def start(spec: VolumeSpec) -> Volume:
    return open_volume(spec, None, Path(spec.members[0]).parent / "lock")


def blank(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(64 << 10))


def cut(path: Path) -> None:
    os.truncate(path, 8 * MIB)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 + 200)
        file.write(b"\xff")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoiled", [0, 1])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, "is not there"),
        (blank, "no md superblock"),
        (cut, "cut short"),
        (empty, "too small"),
        (damage, "wrong checksum"),
        (become_a_folder, "a folder"),
    ],
)
def test_one_member_that_cannot_be_used_leaves_the_volume_degraded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object, words: str, spoiled: int
) -> None:
    spec = make(tmp_path)
    assert callable(spoil)
    spoil(Path(spec.members[spoiled]))
    before = {path: path.read_bytes() for path in (Path(spec.members[spoiled]),) if path.is_file()}
    with caplog.at_level(logging.WARNING):
        volume = start(spec)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "volume backup starts degraded" in told
    assert words in told
    status = volume.status(TARGET, ())
    assert status.degraded
    states = {member.path: member.state for member in status.members}
    assert states == {
        spec.members[1 - spoiled]: MemberState.IN_SYNC,
        spec.members[spoiled]: MemberState.MISSING,
    }
    volume.device.write(0, b"x" * 4096)
    volume.close()
    assert {path: path.read_bytes() for path in before} == before, "it is not for us to touch"


@pytest.mark.parametrize(
    ("spoil", "refusal"),
    [
        ([blank, blank], NotAMember),
        ([become_a_folder, blank], MemberUnusable),
        ([Path.unlink, cut], NotAMember),
        ([Path.unlink, Path.unlink], NoMemberUsable),
    ],
)
def test_without_any_member_the_first_error_is_told(
    tmp_path: Path, spoil: list[object], refusal: type[TwinlockError]
) -> None:
    spec = make(tmp_path)
    for act, path in zip(spoil, spec.members, strict=True):
        assert callable(act)
        act(Path(path))
    with pytest.raises(refusal):
        start(spec)
    assert unheld(spec)


def unheld(spec: VolumeSpec) -> bool:
    """True if nobody has a lock on the members."""
    for path in map(Path, spec.members):
        if path.is_file():
            with path.open("r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def test_what_asks_for_a_decision_stays_refused(tmp_path: Path) -> None:
    spec, other = make(tmp_path), make(tmp_path, "other")
    mixed = spec.model_copy(update={"members": (spec.members[0], other.members[0])})
    with pytest.raises(MemberOfOtherArray):
        start(mixed)
    volume = start(spec)
    with pytest.raises(MemberInUse):
        start(spec)
    volume.close()
    unknown = spec.model_copy(update={"array": UUID(int=1)})
    with pytest.raises(MemberOfOtherArray):
        start(unknown)
    device = FileDevice.open(spec.members[1])
    foreign.change(device, level=5)
    device.close()
    with pytest.raises(ArrayUnsupported):
        start(spec)
    assert unheld(spec)


def test_a_member_that_is_let_down_by_the_other_is_not_held(tmp_path: Path) -> None:
    """Whoever wants to repair it meanwhile can."""
    spec = make(tmp_path)
    blank(Path(spec.members[1]))
    volume = start(spec)
    with Path(spec.members[1]).open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    volume.close()


def test_a_volume_whose_disks_are_away_names_them_all(tmp_path: Path) -> None:
    spec = make(tmp_path)
    for path in spec.members:
        Path(path).unlink()
    with pytest.raises(NoMemberUsable) as caught:
        start(spec)
    assert all(str(MemberMissing(path=path)) in str(caught.value) for path in spec.members)
