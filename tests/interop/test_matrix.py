"""libiscsi's tools and QEMU with both block sizes, every way to log in and every choice of digests."""

import re
import struct
import subprocess
from pathlib import Path

import pytest

from tests.interop.matrix import CELLS, Attached, Cell, Digests, Login, Volumes
from tests.support import qemu
from tests.support.workload import Workload

MIB = 1 << 20
TESTS = ("SCSI.Write16.Simple", "SCSI.Read10.Simple", "SCSI.WriteSame16.Simple", "iSCSI.iSCSIdatasn")
"""What libiscsi's suite does in each cell: data in both directions; all that it has is run elsewhere."""

each_cell = pytest.mark.parametrize("cell", CELLS, ids=str)


@each_cell
def test_libiscsi(volumes: Volumes, cell: Cell) -> None:
    with volumes.attach(cell) as attached:
        assert "TWINLOCK" in tool(attached, "iscsi-inq")
        capacity = tool(attached, "iscsi-readcapacity16")
        assert f"Total size:{attached.size}\n" in capacity
        assert f"LOGICAL BLOCK LENGTH IN BYTES:{cell.block_size}\n" in capacity
        for test in TESTS:
            assert_passed(tool(attached, "iscsi-test-cu", "--dataloss", "--test", test))


@each_cell
def test_qemu(volumes: Volumes, cell: Cell, tmp_path: Path) -> None:
    with volumes.attach(cell) as attached:
        disk, size, image = attached.disk(), attached.size, tmp_path / "image"
        stamped = stamps(size, salt=CELLS.index(cell))
        image.write_bytes(stamped)
        qemu.upload(image, disk)
        load = Workload(CELLS.index(cell), 2 * MIB, cell.block_size, offset=size // 2)
        qemu.exercise(disk, [*load.fill(), *load.round(), *load.verify()])
        qemu.download(disk, image)
    assert load.differences(image) == []
    assert _same_outside(image.read_bytes(), stamped, load), "what was not in use has changed"


WRONG = {
    "no secret": {"LIBISCSI_CHAP_USERNAME": "", "LIBISCSI_CHAP_PASSWORD": ""},
    "a wrong secret": {"LIBISCSI_CHAP_PASSWORD": "wrong" * 3},
    "a wrong name": {"LIBISCSI_CHAP_USERNAME": "stranger"},
    "a target that does not prove itself": {"LIBISCSI_CHAP_TARGET_PASSWORD": "wrong" * 3},
    "a target with another name": {"LIBISCSI_CHAP_TARGET_USERNAME": "stranger"},
}


@pytest.mark.parametrize("digests", [Digests.NONE, Digests.BOTH])
@pytest.mark.parametrize("wrong", WRONG)
def test_with_something_wrong_nobody_gets_in(volumes: Volumes, wrong: str, digests: Digests) -> None:
    with volumes.attach(Cell(512, Login.MUTUAL, digests)) as attached:
        done = attempt(attached, "iscsi-inq", environ=attached.environ() | WRONG[wrong])
        assert done.returncode
        assert "TWINLOCK" not in done.stdout
        assert not attached.relay.agreed
        assert "TWINLOCK" in tool(attached, "iscsi-inq")


def tool(attached: Attached, *command: str) -> str:
    """What a command of libiscsi's says, which must succeed."""
    done = attempt(attached, *command, environ=attached.environ())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def attempt(attached: Attached, *command: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = [*command, attached.url]
    return subprocess.run(words, env=environ, check=False, capture_output=True, text=True, timeout=60)


def assert_passed(said: str) -> None:
    """By the summary: the exit status tells nothing."""
    summary = re.search(r"tests +(\d+) +(\d+) +(\d+) +(\d+)", said)
    assert summary, said
    total, ran, passed, failed = map(int, summary.groups())
    assert (ran, passed, failed) == (total, total, 0), said
    assert total, said


def stamps(size: int, salt: int) -> bytes:
    """Each 512 bytes hold their own place, over and over, and the salt."""
    return b"".join(struct.pack("<QQ", place, salt) * 32 for place in range(0, size, 512))


def _same_outside(found: bytes, wanted: bytes, load: Workload) -> bool:
    end = load.offset + load.size
    return found[: load.offset] == wanted[: load.offset] and found[end:] == wanted[end:]
