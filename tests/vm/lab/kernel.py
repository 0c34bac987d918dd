"""The guest's kernel: the bare ELF image, and only the modules that are wanted.

QEMU starts an ELF image by its PVH note, which spares the guest the unpacking of the compressed
one: seconds, without hardware virtualisation.
"""

import gzip
import lzma
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.vm.lab.tools import run

_DECOMPRESS: dict[bytes, Callable[[bytes], bytes]] = {
    b"\xfd7zXZ\x00": lambda payload: lzma.LZMADecompressor().decompress(payload),
    b"\x1f\x8b": lambda payload: gzip.decompress(payload[:-4]),
}
"""By the payload's first bytes; the four bytes after its end are the size it unpacks to."""


class KernelUnusable(Exception):
    """The kernel's image or its modules are not as expected."""


def bare_image(compressed: bytes) -> bytes:
    """The ELF image inside a bzImage (Linux, Documentation/arch/x86/boot.rst, protocol 2.08)."""
    if compressed[0x202:0x206] != b"HdrS":
        raise KernelUnusable("the kernel is no bzImage")
    start = (compressed[0x1F1] + 1) * 512
    offset, length = struct.unpack_from("<II", compressed, 0x248)
    payload = compressed[start + offset : start + offset + length]
    for magic, decompress in _DECOMPRESS.items():
        if payload.startswith(magic):
            return decompress(payload)
    raise KernelUnusable(f"the kernel is packed in an unknown way ({payload[:6].hex()})")


def keep_modules(root: Path, wanted: Iterable[str]) -> None:
    """Remove from the one kernel below ``root/lib/modules`` all but ``wanted`` and what these depend on."""
    (folder,) = (root / "lib/modules").iterdir()
    _index(root, folder.name)
    kept = _closure(folder, set(wanted))
    for path in folder.rglob("*.ko*"):
        if str(path.relative_to(folder)) not in kept:
            path.unlink()
    _index(root, folder.name)


def _closure(folder: Path, wanted: set[str]) -> set[str]:
    """Paths of the modules ``wanted`` and of their dependencies; those built in have none."""
    kept: set[str] = set()
    found = {_name(line) for line in (folder / "modules.builtin").read_text().split()}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        if _name(path) in wanted:
            found.add(_name(path))
            kept |= {path, *needs.split()}
    if missing := wanted - found:
        raise KernelUnusable(f"the kernel has no module {', '.join(sorted(missing))}")
    return kept


def _name(path: str) -> str:
    return Path(path).name.partition(".")[0].replace("-", "_")


def _index(root: Path, version: str) -> None:
    run("depmod", "-b", root, version)
