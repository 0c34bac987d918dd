"""What is remembered of copies, and for how long."""

from tests.unit.scsi.support import A, B
from twinlock.scsi.copy_jobs import MOST_JOBS, CopyJob, CopyJobs
from twinlock.scsi.nexus import Nexus
from twinlock.wire.scsi_copy import CopyStatus


def test_the_life_of_a_job() -> None:
    job = CopyJob()
    assert (job.status, job.running) == (CopyStatus.IN_PROGRESS, True)
    job.succeed()
    assert (job.status, job.running) == (CopyStatus.COMPLETED, False)
    other = CopyJob()
    other.fail(0x40)
    assert (other.status, other.running) == (CopyStatus.FAILED, False)
    assert (other.command_status, other.sense) == (0x40, b"")


def test_identifiers_belong_to_a_nexus() -> None:
    jobs = CopyJobs()
    first, second = jobs.new(A, 1), jobs.new(B, 1)
    assert first is not second
    assert (jobs.get(A, 1), jobs.get(B, 1), jobs.get(B, 2)) == (first, second, None)


def test_one_that_has_not_ended_keeps_its_identifier() -> None:
    """From the start: its command may have to wait before the first byte is copied."""
    jobs = CopyJobs()
    first = jobs.new(A, 1)
    assert first is not None
    assert jobs.new(A, 1) is None
    assert jobs.get(A, 1) is first
    first.succeed()
    second = jobs.new(A, 1)
    assert second is not None
    assert jobs.get(A, 1) is second is not first


def test_there_is_an_end_to_memory() -> None:
    jobs = CopyJobs()
    running = jobs.new(A, 0)
    assert running is not None
    nexuses = [Nexus(f"iqn.2026-11.test:{number}", bytes(6)) for number in range(MOST_JOBS + 10)]
    for nexus in nexuses:
        job = jobs.new(nexus, 1)
        assert job is not None
        job.succeed()
    assert jobs.get(A, 0) is running
    assert [jobs.get(nexus, 1) is None for nexus in nexuses].count(True) == 11
    assert jobs.get(nexuses[-1], 1) is not None
