"""The file that keeps persistent reservations: whole, durable, private, and never passed over."""

import os
import stat
from pathlib import Path

import pytest

from tests.unit.scsi.reservations.support import (
    APTPL,
    EA,
    REGISTER,
    RESERVE,
    WRITE,
    conflicts,
    done,
    keys,
    out,
    reservation,
)
from tests.unit.scsi.support import A, B
from tests.unit.server.test_volume import make, start
from twinlock.errors import ReservationsUnreadable
from twinlock.server.kept_file import KeptFile
from twinlock.server.messages import VolumeSpec


def test_nothing_was_saved(tmp_path: Path) -> None:
    assert KeptFile(tmp_path / "none").load() is None


def test_the_last_one_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "backup"
    file = KeptFile(path)
    for data in (b"first, and long", b"second"):
        file.save(data)
        assert KeptFile(path).load() == data
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_it_is_flushed_before_it_is_renamed_and_the_folders_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str | Path] = []
    real_fsync, real_replace = os.fsync, os.replace
    folder = tmp_path / "new"

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append(path if path.is_dir() else "file")
        real_fsync(descriptor)

    def replace(source: str, target: str, **more: object) -> None:
        steps.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    KeptFile(folder / "backup").save(b"data")
    assert steps == ["file", "rename", folder, tmp_path]


def test_what_a_crash_left_behind_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    left = tmp_path / "backup.new"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"of somebody else")
    left.symlink_to(elsewhere)
    KeptFile(path).save(b"data")
    assert path.read_bytes() == b"data"
    assert elsewhere.read_bytes() == b"of somebody else"


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "backup"
    KeptFile(path).save(b"before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        KeptFile(path).save(b"after")
    assert path.read_bytes() == b"before"


class TestVolume:
    def spec(self, folder: Path) -> VolumeSpec:
        return make(folder).model_copy(update={"reservations": str(folder / "reservations" / "backup")})

    def test_reservations_outlive_the_worker(self, tmp_path: Path) -> None:
        spec = self.spec(tmp_path)
        volume = start(spec)
        for nexus in (A, B):
            volume.unit.start(nexus, bytes(6))
        done(out(volume.unit, A, REGISTER, 0, 1, flags=APTPL))
        done(out(volume.unit, A, RESERVE, 1, kind=EA))
        volume.close()
        volume = start(spec)
        for nexus in (A, B):
            volume.unit.start(nexus, bytes(6))
        assert keys(volume.unit, B) == (0, [1])
        assert reservation(volume.unit, B) == (1, EA)
        assert conflicts(volume.unit.start(B, WRITE, bytes(512)))
        volume.close()

    @pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100])
    def test_a_damaged_file_keeps_the_volume_from_opening(self, tmp_path: Path, content: bytes) -> None:
        spec = self.spec(tmp_path)
        assert spec.reservations is not None
        path = Path(f"{spec.reservations}.{spec.array}")
        KeptFile(path).save(content)
        for _ in range(2):  # and it lets go of the members each time
            with pytest.raises(ReservationsUnreadable, match=str(path)):
                start(spec)
        assert path.read_bytes() == content
        path.unlink()
        start(spec).close()

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        spec = self.spec(tmp_path)
        assert spec.reservations is not None
        Path(f"{spec.reservations}.{spec.array}").mkdir(parents=True)
        with pytest.raises(ReservationsUnreadable, match="directory"):
            start(spec)

    def test_the_file_of_another_array_is_not_ours(self, tmp_path: Path) -> None:
        spec = self.spec(tmp_path)
        volume = start(spec)
        volume.unit.start(A, bytes(6))
        done(out(volume.unit, A, REGISTER, 0, 1, flags=APTPL))
        volume.close()
        other = make(tmp_path, "other").model_copy(update={"reservations": spec.reservations})
        volume = start(other)
        volume.unit.start(A, bytes(6))
        assert keys(volume.unit, A) == (0, [])
        volume.close()
