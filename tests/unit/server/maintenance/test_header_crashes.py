"""Whole commands on keys and headers, cut off at every step: of the store, and of the disks.

A crash ends the process and loses nothing that it wrote; a power cut loses what was not flushed.  After each
the keys before the change or those after it open, the data are there, and so is the backup from before it.
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from tests.support.power import Disk, power_cuts
from tests.support.steps import cut_at
from tests.unit.server.maintenance.encrypted import add, do, start
from tests.unit.server.maintenance.header_changes import (
    BEFORE,
    CHANGES,
    DATA,
    LATER,
    OTHER,
    Change,
    Place,
    judge_backups,
    luks1,
    luks2,
    now_in,
    opening,
    place_of,
    steps_of,
    two_members,
)
from twinlock.server.header_store import KEPT
from twinlock.server.key_tasks import HeaderRestore
from twinlock.server.messages import VolumeSpec


def judge(place: Place, change: Change, *, thorough: bool) -> frozenset[bytes]:
    """What was cut off costs nothing; the keys that open.  ``thorough``: also after that all goes well."""
    judge_backups(place)
    keys = opening(place.spec, BEFORE | change.after)
    assert keys in (BEFORE, change.after)
    if thorough:
        judge_start(place, min(keys))
        assert opening(place.spec, BEFORE | change.after) == keys
        judge_more_tasks(place, keys, BEFORE | change.after)
    return keys


def judge_more_tasks(place: Place, keys: frozenset[bytes], asked: frozenset[bytes]) -> None:
    """A key is added, and nothing is left of what was cut off; the backup from before can be put back."""
    add(place.spec, LATER, known=min(keys))
    assert opening(place.spec, asked | {LATER}) == keys | {LATER}
    assert all(path.suffix == ".luks" for path in place.store.folder.iterdir())
    assert len(place.store.backups()) <= KEPT
    do(place.spec, HeaderRestore(content=place.backup, source="file"))
    assert opening(place.spec, asked | {LATER}) == BEFORE
    judge_start(place, OTHER)


def judge_start(place: Place, key: bytes) -> None:
    """As a worker does it: the data are there, and nothing is left to be repaired."""
    volume = start(place.spec, key)
    assert bytes(volume.device.read(0, len(DATA))) == DATA
    volume.close()
    headers = place.headers(now_in(place.root))
    assert headers == headers[:1] * len(headers)
    assert place.store.journal() is None


def crashes(place: Place, change: Change, *, every: int, thorough: int) -> None:
    """At each step, or each so many; each so many of these are judged thoroughly.  Both outcomes are met."""
    seen, number, more = set(), 0, True
    while more:
        place.put(place.files)
        more = cut_at(number * every, place.root, lambda: do(place.spec, change.task(place)))
        seen.add((more, judge(place, change, thorough=number % thorough == 0)))
        number += 1
    assert seen == {(True, BEFORE), (True, change.after), (False, change.after)}


def cut_power(place: Place, name: str, *, every: int, thorough: int) -> None:
    """Whatever a power cut may leave, or each so many; each so many of these are judged thoroughly."""
    steps, change, seen = steps_of(place, name), CHANGES[name], set()
    place.put(place.files)
    states = islice(power_cuts(Disk.of(place.root), steps), 0, None, every)
    for number, (_, files) in enumerate(states):
        place.put(files)
        seen.add(judge(place, change, thorough=number % thorough == 0))
    assert seen == {BEFORE, change.after}


Kind = Callable[[Path], VolumeSpec]
CASES = [("change", luks2, False)]
MORE_CASES = [(name, kind, full) for name in CHANGES for kind, full in ((two_members, True), (luks1, False))]


@pytest.mark.parametrize(("name", "kind", "full"), CASES)
def test_a_crash_at_some_steps(name: str, kind: Kind, full: bool, tmp_path: Path) -> None:
    crashes(place_of(tmp_path / "v", kind, full=full), CHANGES[name], every=7, thorough=4)


@pytest.mark.parametrize(("name", "kind", "full"), CASES)
def test_a_power_cut_at_some_steps(name: str, kind: Kind, full: bool, tmp_path: Path) -> None:
    cut_power(place_of(tmp_path / "v", kind, full=full), name, every=5, thorough=8)


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind", "full"), MORE_CASES)
def test_a_crash_at_every_step(name: str, kind: Kind, full: bool, tmp_path: Path) -> None:
    crashes(place_of(tmp_path / "v", kind, full=full), CHANGES[name], every=1, thorough=3)


@pytest.mark.long
@pytest.mark.parametrize(("name", "kind", "full"), MORE_CASES)
def test_a_power_cut_at_every_step(name: str, kind: Kind, full: bool, tmp_path: Path) -> None:
    cut_power(place_of(tmp_path / "v", kind, full=full), name, every=1, thorough=3)
