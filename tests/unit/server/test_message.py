"""What checks a message is built at its first use; threads that come to that at once all get it whole."""

import subprocess
import sys

PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import UUID

from pydantic import BaseModel
from twinlock.daemon import models
from twinlock.server import key_tasks, message, messages, tasks

THREADS = 8
sys.setswitchinterval(1e-6)
kinds = [
    kind
    for module in (key_tasks, messages, tasks, models)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == module.__name__
]
deferred = [kind for kind in kinds if not kind.__pydantic_complete__]
assert len(deferred) > 30, len(deferred)
pool = ThreadPoolExecutor(THREADS)
start = Barrier(THREADS)


def use(kind):
    start.wait()
    try:
        kind.model_validate({"unheard-of": 1})
    except ValueError as error:  # whoever checks by the wrong model finds nothing wrong with it
        return any(each["type"] == "extra_forbidden" for each in error.errors())
    return False


for kind in deferred:
    assert all(pool.map(use, [kind] * THREADS)), kind
"""


def test_threads_that_use_a_message_for_the_first_time_at_once() -> None:
    """In a process of its own, where none was used yet."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
