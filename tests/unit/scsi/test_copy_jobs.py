"""What is remembered of copies, and for how long."""

from tests.unit.scsi.support import A, B
from twinlock.scsi.copy_jobs import MOST_JOBS, CopyJobs
from twinlock.scsi.nexus import Nexus
from twinlock.wire.scsi_copy import CopyStatus


def test_a_job_nobody_finished_is_a_failure() -> None:
    job = CopyJobs().new(A, 1)
    assert job is not None
    job.begin()
    assert (job.status, job.running) == (CopyStatus.IN_PROGRESS, True)
    job.end()
    assert (job.status, job.running) == (CopyStatus.FAILED, False)


def test_identifiers_belong_to_a_nexus() -> None:
    jobs = CopyJobs()
    first, second = jobs.new(A, 1), jobs.new(B, 1)
    assert first is not second
    assert (jobs.get(A, 1), jobs.get(B, 1), jobs.get(B, 2)) == (first, second, None)


def test_one_that_never_began_is_replaced() -> None:
    jobs = CopyJobs()
    first, second = jobs.new(A, 1), jobs.new(A, 1)
    assert second is not None
    assert second is not first
    second.begin()
    assert jobs.new(A, 1) is None
    assert jobs.get(A, 1) is second


def test_there_is_an_end_to_memory() -> None:
    jobs = CopyJobs()
    running = jobs.new(A, 0)
    assert running is not None
    running.begin()
    nexuses = [Nexus(f"iqn.2026-11.test:{number}", bytes(6)) for number in range(MOST_JOBS + 10)]
    for nexus in nexuses:
        jobs.new(nexus, 1)
    assert jobs.get(A, 0) is running
    assert [jobs.get(nexus, 1) is None for nexus in nexuses].count(True) == 11
    assert jobs.get(nexuses[-1], 1) is not None
