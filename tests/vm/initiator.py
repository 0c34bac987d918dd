"""QEMU's iSCSI initiator, on the host: whole images in and out, and single writes and flushes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.lab.tools import run

PROMPT = "qemu-io> "


def upload(image: Path, url: str) -> None:
    """Write the whole image to the beginning of the logical unit, and flush."""
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, url)


def download(url: str, image: Path) -> None:
    """Read the whole logical unit."""
    run("qemu-img", "convert", "-f", "raw", "-O", "raw", url, image)


class Session:
    """A session that stays; see qemu-io(1)'s ``help`` for the commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._until_prompt()

    def do(self, command: str) -> str:
        """Run one command to its end; raises RuntimeError if the target did not do it."""
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._until_prompt()
        if "failed" in answer or "rror" in answer:
            raise RuntimeError(f"{command}: {answer}")
        return answer

    def _until_prompt(self) -> str:
        assert self._process.stdout
        said = ""
        while not said.endswith(PROMPT):
            if not (character := self._process.stdout.read(1)):
                raise RuntimeError(f"qemu-io ended: {said}")
            said += character
        return said.removesuffix(PROMPT)


@contextmanager
def session(url: str) -> Iterator[Session]:
    """A session with the logical unit; it ends without a logout, as when a machine loses its power."""
    command = ["qemu-io", "-f", "raw", "-t", "writeback", url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Session(process)
        finally:
            process.kill()
