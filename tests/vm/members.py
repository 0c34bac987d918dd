"""Members read, and damaged, without twinlock."""

import json
import re
from pathlib import Path

from tests.vm.lab.tools import run

_SECTOR = 512
_LUKS2_BINARY_HEADER = 4096


def payload_offset(member: Path) -> int:
    """Byte of the member where the container's payload begins (LUKS2 on-disk format 1.1.3, section 3.3)."""
    data = _number(run("mdadm", "--examine", member), r"Data Offset : (\d+) sectors") * _SECTOR
    with member.open("rb") as file:
        file.seek(data + _LUKS2_BINARY_HEADER)
        metadata = json.loads(file.read(1 << 20).partition(b"\0")[0])
    return data + int(metadata["segments"]["0"]["offset"])


def spoil(member: Path, offset: int, length: int) -> None:
    """Let the member lose what was written to ``offset`` of the payload, as a disk may without a flush."""
    with member.open("r+b") as file:
        file.seek(payload_offset(member) + offset)
        file.write(bytes(length))


def _number(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])
