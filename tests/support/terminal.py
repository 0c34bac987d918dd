"""What a person sees: a command on a terminal of 80 columns."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLUMNS = 80


def on_terminal(command: Sequence[str], environ: Mapping[str, str]) -> tuple[int, list[str]]:
    """Run it; returns its exit code, and all lines that were ever shown, without colours."""
    master, slave = os.openpty()
    shown = b""
    environment = {**environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    try:
        with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment) as process:
            os.close(slave)
            while more := _read(master):
                shown += more
            code = process.wait(60)
    finally:
        os.close(master)
    lines = re.split(r"[\r\n]+", CONTROL.sub("\r", shown.decode()))
    return code, [line.rstrip() for line in lines if line.strip()]


def _read(master: int) -> bytes:
    """b"" at its end, which a terminal tells as an error."""
    try:
        return os.read(master, 65536)
    except OSError:
        return b""
