"""The inputs that are kept: one text file each, hexadecimal, in a folder per entry."""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
_LINE = 64


def read(path: Path) -> bytes:
    """The bytes of a file; lines that begin with # are remarks."""
    lines = path.read_text().splitlines()
    return bytes.fromhex("".join(line for line in lines if not line.startswith("#")))


def write(folder: Path, data: bytes, remark: str) -> Path:
    """Keep ``data``; the name is that of its content."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:12]}.hex"
    digits = data.hex()
    lines = [digits[at : at + _LINE] for at in range(0, len(digits), _LINE)]
    path.write_text("\n".join([*(f"# {line}" for line in remark.splitlines()), *lines, ""]))
    return path


def kept() -> list[Path]:
    """Every file, in a fixed order."""
    return sorted(FOLDER.glob("*/*.hex"))
