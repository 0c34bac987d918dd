"""QEMU's iSCSI driver: how its tools and its machines are told of a logical unit.

The driver logs in by CHAP and knows header digests; it has no mutual CHAP and no data digests.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SECRET = "chap"
_SECONDS = 60


class QemuFailed(Exception):
    """A command of QEMU's tools failed, or read something else than it should have."""


@dataclass(frozen=True, slots=True)
class IscsiDisk:
    """LUN 0 of ``target`` at ``portal`` (host, port), as an initiator of QEMU's."""

    portal: tuple[str, int]
    target: str
    user: str = ""
    secret: Path | None = None
    header_digest: bool = False
    initiator: str = ""

    def node(self, **more: str) -> str:
        """The options of the block driver, joined as QEMU wants them."""
        host, port = self.portal
        options = {
            "driver": "iscsi",
            "transport": "tcp",
            "portal": f"{host}:{port}",
            "target": self.target,
            "lun": "0",
            "header-digest": "crc32c" if self.header_digest else "none",
        }
        if self.secret:
            options |= {"user": self.user, "password-secret": _SECRET}
        if self.initiator:
            options["initiator-name"] = self.initiator
        return ",".join(f"{key}={value}" for key, value in (options | more).items())

    def objects(self) -> list[str]:
        """The secret, which is handed over in a file."""
        return [f"secret,id={_SECRET},file={self.secret}"] if self.secret else []


def upload(image: Path, disk: IscsiDisk, *, in_flight: int = 8) -> None:
    """Write a raw image to the disk's beginning, ``in_flight`` requests at once and in no order; flush."""
    how = ("convert", "-n", "-m", str(in_flight), "-W", "--target-image-opts", *_objects(disk))
    _run("qemu-img", *how, "-f", "raw", str(image), disk.node())


def download(disk: IscsiDisk, image: Path) -> None:
    """Read the whole disk into a raw image."""
    _run("qemu-img", "convert", *_objects(disk), "--image-opts", "-O", "raw", disk.node(), str(image))


def exercise(disk: IscsiDisk, commands: Sequence[str]) -> None:
    """Run ``qemu-io``'s commands, which must be quiet ones (-q), in one session.

    Raises QemuFailed if one fails or reads another pattern than it should.
    """
    said = _run(*qemu_io(disk, commands))
    if said:
        raise QemuFailed(said)


def qemu_io(disk: IscsiDisk, commands: Sequence[str]) -> list[str]:
    """The command line that carries out ``commands`` in one session and says nothing if all is well."""
    words = [word for command in commands for word in ("-c", command)]
    return ["qemu-io", *_objects(disk), "--image-opts", "-d", "unmap", *words, disk.node(discard="unmap")]


def _objects(disk: IscsiDisk) -> list[str]:
    return [word for each in disk.objects() for word in ("--object", each)]


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_SECONDS)
    said = done.stdout + done.stderr
    if done.returncode:
        raise QemuFailed(f"{command[0]}: status {done.returncode}: {said}")
    return said
