"""The time in a superblock, which also says who wrote it.

md's ``utime`` is 40 bits of seconds and 24 of microseconds.  The kernel writes whole seconds, we a
microsecond more, which everybody ignores.  So no superblock of the kernel's is ever one of ours, not
even where the clock stands still and the event count, which md takes back when an array becomes
clean, is the same again.
"""

MICROSECOND = 1 << 40


def stamp(seconds: float) -> int:
    """``utime`` for a time in seconds since 1970."""
    return int(seconds) | MICROSECOND
