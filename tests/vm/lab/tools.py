"""Commands on the host, also those that an ordinary user's PATH leaves out."""

import os
import subprocess

PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"


class ToolFailed(Exception):
    """A command ended otherwise than it should; with all it said."""


def run(*command: object, typed: str = "", accept: tuple[int, ...] = (0,)) -> str:
    """Run a command with ``typed`` as its input; returns its output if its exit status is in ``accept``."""
    words = [str(word) for word in command]
    environment = os.environ | {"PATH": PATH, "LC_ALL": "C"}
    done = subprocess.run(words, input=typed, text=True, capture_output=True, check=False, env=environment)
    if done.returncode not in accept:
        raise ToolFailed(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout
