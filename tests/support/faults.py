"""How long the fault tests go on."""

import os


def times(short: int, long: int) -> int:
    """``long`` rounds if TWINLOCK_FAULTS=long (make test-faults), else ``short``."""
    return long if os.environ.get("TWINLOCK_FAULTS") == "long" else short
