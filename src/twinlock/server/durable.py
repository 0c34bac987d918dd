"""The names in a folder, made durable: a file that was flushed may still have none after a crash."""

import os
from pathlib import Path

from twinlock.block.kernel import UNSUPPORTED


def sync_folder(folder: str | Path) -> None:
    """See to it that names made, changed and taken away in ``folder`` outlive a crash (fsync(2)).

    Raises OSError.  Some file systems know no flush of folders, and keep names safe by themselves.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(number)
