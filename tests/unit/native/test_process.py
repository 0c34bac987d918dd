"""Hardening, seen from inside and outside a process that did it."""

import json
import os
import signal
import subprocess
import sys

REPORT = """
import json, resource
from twinlock.native import harden
from twinlock.native.process import is_dumpable
before = is_dumpable()
harden()
print(json.dumps([before, is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE)]))
"""


def test_no_dump_is_left() -> None:
    ended = subprocess.run([sys.executable, "-c", REPORT], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) == [True, False, [0, 0]]


def test_a_crash_afterwards_leaves_no_core() -> None:
    program = "import os\nfrom twinlock.native import harden\nharden()\nos.abort()\n"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
        _, status = os.waitpid(process.pid, 0)
    assert os.WTERMSIG(status) == signal.SIGABRT
    assert not os.WCOREDUMP(status)
