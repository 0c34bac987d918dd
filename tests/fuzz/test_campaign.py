"""The campaign notices what goes wrong, counts it, and keeps the input."""

from pathlib import Path

import pytest

from tests.fuzz import corpus_files
from tests.fuzz.campaign import Campaign, Job, Verdict


def run(name: str, findings: Path, *, hang: float = 60.0, quota: int = 100) -> Verdict:
    job = Job(f"tests.fuzz.broken_entries:{name}", quota, 1, guided=False)
    return Campaign([job], processes=1, findings=findings, hang=hang).run()


def test_nothing_wrong(tmp_path: Path) -> None:
    verdict = run("well", tmp_path)
    assert str(verdict) == "fuzz: 100 PDUs, 10 sessions, 0 crashes, 0 hangs, 0 leaks"
    assert verdict.clean
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "counted"), [("raises", "crashes"), ("dies", "crashes"), ("hangs", "hangs"), ("leaks", "leaks")]
)
def test_what_goes_wrong_is_counted_and_kept(name: str, counted: str, tmp_path: Path) -> None:
    verdict = run(name, tmp_path, hang=3.0, quota=50)
    assert getattr(verdict, counted) >= 1
    assert not verdict.clean
    assert verdict.crashes + verdict.hangs + verdict.leaks == getattr(verdict, counted)
    kept = list(tmp_path.iterdir())
    assert kept
    assert all(corpus_files.read(path) for path in kept)


def test_memory_that_grows_is_a_leak(tmp_path: Path) -> None:
    assert run("grows", tmp_path).leaks == 1
