"""The commands with which open initiators find out what they face: each gets a clean answer."""

import pytest

from tests.unit.scsi.support import NEXUS, disk, good, run
from twinlock.scsi.operations import BlockStatus, Flush, Operation, Read, Result, Status, Verify
from twinlock.scsi.target import ScsiTarget

MAC = {
    "00 0000000000": None,
    "03 0000001200": None,
    "12 0000002400": None,
    "12 0183004000": None,
    "1a 003f00c000": None,
    "5a 003f00000000 0040 00": None,
    "25 000000000000000000": None,
    "08 0000000100": Read,
    "28 0000000000 00 0001 00": Read,
    "a8 0000000000 00000001 0000": Read,
    "88 00 0000000000000000 00000001 0000": Read,
    "a0 00000000000000001000 00": None,
    "1e 0000000100": None,
    "35 000000000000000000": Flush,
    "91 00 0000000000000000 00000000 0000": Flush,
    "2f 000000000000 0001 00": Verify,
    "af 0000000000 00000001 0000": Verify,
    "8f 00 0000000000000000 00000001 0000": Verify,
    "9e 10 0000000000000000 00000020 0000": None,
    "9e 12 0000000000000000 00000020 0000": BlockStatus,
}
"""What succeeds at once (None), and what becomes an operation."""


@pytest.mark.parametrize(("cdb", "kind"), MAC.items())
def test_a_mac(cdb: str, kind: type[Operation] | None) -> None:
    outcome = run(disk(), bytes.fromhex(cdb))
    assert isinstance(outcome, kind or Result)
    if kind is None:
        good(outcome)


def test_linux_looks_for_a_disk() -> None:
    """In the order of sd and of the SCSI midlayer, with their allocation lengths."""
    target = ScsiTarget({0: disk()})
    for cdb, length in [
        ("12 0000 0024 00", 36),
        ("12 0100 00ff 00", 12),
        ("12 0183 00ff 00", None),
        ("12 0180 00ff 00", 36),
        ("12 01b0 0040 00", 64),
        ("12 01b1 0040 00", 64),
        ("12 01b2 0024 00", 8),
        ("a0 00 00 000000 00001000 00 00", 16),
        ("9e 10 0000000000000000 00000020 0000", 32),
        ("1a 00 3f 00 04 00", 4),
        ("1a 00 08 00 04 00", 4),
        ("a3 0c 01 28 0000 00000200 0000", 14),
        ("5e 00 00 00 00 00 00 0008 00", 8),
    ]:
        data = good(target.start(NEXUS, bytes(8), bytes.fromhex(cdb)))
        assert length is None or len(data) == length


def test_the_probe_results_carry_no_false_residual() -> None:
    outcome = run(disk(), bytes.fromhex("1a 003f000400"))
    assert isinstance(outcome, Result)
    assert outcome.status is Status.GOOD
    assert outcome.transfer_wanted == 4
