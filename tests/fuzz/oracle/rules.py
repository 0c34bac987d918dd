"""The judge's vocabulary: what is broken, serial numbers, and the code points of RFC 7143."""


class Broken(AssertionError):
    """The target did what RFC 7143 does not allow (or what twinlock promises not to do)."""


class Leaked(Broken):
    """Something of a session is left after its end."""


def require(condition: bool, what: str) -> None:
    """Raise :class:`Broken` with ``what`` unless ``condition`` holds."""
    if not condition:
        raise Broken(what)


def ahead(start: int, end: int) -> int:
    """How far ``end`` lies ahead of ``start``; negative if it lies behind (RFC 1982, 32 bits)."""
    difference = end - start & 0xFFFFFFFF
    return difference - (1 << 32) if difference >> 31 else difference


NO_TAG = 0xFFFFFFFF

# Opcodes: section 11.2.1.2.
NOP_OUT, COMMAND, TASK_MANAGEMENT, LOGIN, TEXT, DATA_OUT, LOGOUT, SNACK = 0, 1, 2, 3, 4, 5, 6, 0x10
NOP_IN, RESPONSE, TASK_ANSWER, LOGIN_ANSWER, TEXT_ANSWER = 0x20, 0x21, 0x22, 0x23, 0x24
DATA_IN, LOGOUT_ANSWER, R2T, ASYNC, REJECT = 0x25, 0x26, 0x31, 0x32, 0x3F

LOGIN_STATUSES = frozenset({0, *range(0x0200, 0x020C), 0x0300, 0x0301, 0x0302})
"""Section 11.13.5; redirections (class 1) are not among what this target does."""
SCSI_STATUSES = frozenset({0x00, 0x02, 0x04, 0x08, 0x18, 0x28, 0x30, 0x40})
"""SAM-5."""
TASK_ANSWERS = frozenset({0, 1, 2, 3, 4, 5, 6, 255})
LOGOUT_ANSWERS = frozenset({0, 1, 2, 3})
REJECT_REASONS = frozenset({2, 3, 4, 5, 6, 7, 8, 9, 0x0A, 0x0B, 0x0C})
ASYNC_EVENTS = frozenset({0, 1, 2, 3, 4, 255})
SENSE_FORMATS = frozenset({0x70, 0x72})
DEFAULT_SEGMENT = 8192
"""MaxRecvDataSegmentLength without a declaration (section 13.12)."""
