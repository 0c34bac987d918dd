"""The checksums as a 64-bit ARM computes them, with its own instruction, under emulation.

Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user; is left out where they are not.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from twinlock import native

HERE = Path(__file__).parent
SOURCES = Path(native.__file__).parent
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fstack-protector-strong", "-static")


@pytest.mark.long
@pytest.mark.skipif(not shutil.which(COMPILER) or not shutil.which(EMULATOR), reason="no cross compiler")
@pytest.mark.parametrize("processor", ["max", "cortex-a53", "cortex-a72"])
def test_an_arm_computes_the_same_with_its_own_instruction(tmp_path: Path, processor: str) -> None:
    program = tmp_path / "check"
    sources = (str(HERE / "crc32c_check.c"), str(SOURCES / "crc32c.c"))
    subprocess.run([COMPILER, *FLAGS, f"-I{SOURCES}", *sources, "-lpthread", "-o", str(program)], check=True)
    command = [EMULATOR, "-cpu", processor, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "instruction, 0 wrong\n")
