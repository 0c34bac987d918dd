"""The checksums as a 64-bit ARM computes them, with its own instruction, under emulation.

Needs Debian's gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user.
"""

import subprocess
from pathlib import Path

import pytest

from twinlock import native

HERE = Path(__file__).parent
SOURCES = Path(native.__file__).parent
COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fstack-protector-strong", "-static")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("arm") / "check"
    sources = (str(HERE / "crc32c_check.c"), str(SOURCES / "crc32c.c"))
    subprocess.run([COMPILER, *FLAGS, f"-I{SOURCES}", *sources, "-lpthread", "-o", str(made)], check=True)
    return made


@pytest.mark.parametrize("processor", ["max", "cortex-a53", "cortex-a72"])
def test_an_arm_computes_the_same_with_its_own_instruction(program: Path, processor: str) -> None:
    command = [EMULATOR, "-cpu", processor, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "instruction, 0 wrong\n")
