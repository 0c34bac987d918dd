"""A replacement that a restart cut off goes on, or is over: the volume keeps as many copies as it should."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.server.test_volume import make, start
from twinlock.block.mirror.mirror import Mirror
from twinlock.errors import NotPossibleNow
from twinlock.server.maintenance.context import Context
from twinlock.server.maintenance.registry import carry_out
from twinlock.server.messages import VolumeSpec
from twinlock.server.tasks import MOST_MEMBERS, MemberAdd, MemberFail, MemberReplace, MembersResult, Task
from twinlock.server.volume import lacks_copies


def do(spec: VolumeSpec, task: Task) -> MembersResult:
    """The task, on the locked volume."""
    lock = Path(spec.members[0]).parent / "lock"
    context = Context(spec, None, wanted=lambda: True, derivation_lock=lock)
    result = carry_out(task, context)
    assert isinstance(result, MembersResult)
    return result


def following(spec: VolumeSpec, result: MembersResult) -> VolumeSpec:
    """As the configuration follows."""
    change = {"members": result.members, "leaving": result.leaving, "copies": result.copies}
    return spec.model_copy(update=change)


@pytest.fixture
def spec(tmp_path: Path) -> VolumeSpec:
    return make(tmp_path)


@pytest.fixture
def replacing(spec: VolumeSpec, tmp_path: Path) -> VolumeSpec:
    """The first member is about to be replaced by ``new``."""
    return following(spec, do(spec, MemberReplace(path=spec.members[0], new=str(tmp_path / "new"))))


@contextmanager
def running(spec: VolumeSpec) -> Iterator[Mirror]:
    volume = start(spec)
    try:
        assert isinstance(volume.mirror, Mirror)
        yield volume.mirror
    finally:
        volume.close()


def copy_all(mirror: Mirror) -> None:
    for _ in range(1000):
        mirror.step()
        if mirror.status().replacing is None and not mirror.status().degraded:
            return
    raise AssertionError("it does not come to its end")


def paths(mirror: Mirror) -> set[str | None]:
    return {member.path for member in mirror.status().members}


def test_what_is_noted(replacing: VolumeSpec) -> None:
    assert (replacing.leaving, replacing.copies) == (replacing.members[:1], 2)


def test_it_goes_on(replacing: VolumeSpec) -> None:
    with running(replacing) as mirror:
        status = mirror.status()
        assert (status.replacing, status.places) == (replacing.members[0], 3)
        assert not lacks_copies(status)
        copy_all(mirror)
        assert (mirror.status().places, paths(mirror)) == (2, set(replacing.members[1:]))


def test_without_the_new_member_it_is_over(replacing: VolumeSpec) -> None:
    Path(replacing.members[2]).unlink()
    with running(replacing) as mirror:
        status = mirror.status()
        assert (status.replacing, status.places, status.degraded) == (None, 2, False)
        assert paths(mirror) == set(replacing.members[:2])


def test_without_the_old_member_the_new_one_takes_its_place(replacing: VolumeSpec) -> None:
    Path(replacing.members[0]).unlink()
    with running(replacing) as mirror:
        assert mirror.status().places == 2
        assert lacks_copies(mirror.status())
        copy_all(mirror)
        assert paths(mirror) == set(replacing.members[1:])


def test_nobody_leaves_an_array_that_has_no_place_more(spec: VolumeSpec) -> None:
    """The array gave it up, or never began: the member in the last place came to replace nobody."""
    stale = spec.model_copy(update={"leaving": spec.members[:1], "copies": 2})
    with running(stale) as mirror:
        mirror.step()
        status = mirror.status()
        assert (status.replacing, status.places, status.degraded) == (None, 2, False)
        assert paths(mirror) == set(spec.members)


def test_a_spare_takes_the_place(spec: VolumeSpec, tmp_path: Path) -> None:
    spare = str(tmp_path / "spare")
    spec = following(spec, do(spec, MemberAdd(path=spare)))
    spec = following(spec, do(spec, MemberReplace(path=spec.members[0], new=spare)))
    with running(spec) as mirror:
        copy_all(mirror)
        assert paths(mirror) == {spec.members[1], spare}


def test_one_disk_has_one_name(spec: VolumeSpec, tmp_path: Path) -> None:
    """Under two of them it would be held by the volume itself at its next start."""
    spare, link = str(tmp_path / "spare"), tmp_path / "link"
    spec = following(spec, do(spec, MemberAdd(path=spare)))
    link.symlink_to(spare)
    result = do(spec, MemberReplace(path=spec.members[0], new=str(link)))
    assert result.members == (*spec.members[:2], spare)
    with pytest.raises(NotPossibleNow, match="a member already"):
        do(following(spec, result), MemberAdd(path=str(link)))


def test_not_more_members_than_the_configuration_takes(spec: VolumeSpec, tmp_path: Path) -> None:
    full = (*spec.members, *(str(tmp_path / f"away-{number}") for number in range(MOST_MEMBERS - 2)))
    crowded = spec.model_copy(update={"members": full})
    with pytest.raises(NotPossibleNow, match=str(MOST_MEMBERS)):
        do(crowded, MemberAdd(path=str(tmp_path / "ninth")))
    assert not (tmp_path / "ninth").exists()


def test_a_member_of_a_locked_volume_does_not_fail(spec: VolumeSpec) -> None:
    """At the next start it would catch up."""
    with pytest.raises(NotPossibleNow, match="twinlock member remove"):
        do(spec, MemberFail(path=spec.members[0]))
