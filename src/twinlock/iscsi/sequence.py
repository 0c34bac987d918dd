"""Sequence numbers of 32 bits that wrap (RFC 1982), and the window of commands (RFC 7143 section 4.2.2.1)."""

from enum import Enum, auto

from twinlock.wire.iscsi_codes import RESERVED_TAG

_MASK = 0xFFFFFFFF


def following(number: int, distance: int = 1) -> int:
    """The number ``distance`` after ``number``."""
    return number + distance & _MASK


def distance(start: int, end: int) -> int:
    """How far ``end`` is ahead of ``start``, 0 to 2**32-1."""
    return end - start & _MASK


class Place(Enum):
    """Where a CmdSN lies."""

    OUTSIDE = auto()
    IN_TURN = auto()
    EARLY = auto()


_OUTSIDE, _IN_TURN, _EARLY = Place  # looking up a member costs as much as a call


class CommandWindow:
    """ExpCmdSN and MaxCmdSN.

    A command that is admitted moves both; a task that is under way then occupies
    its slot until it is released.  As every occupation follows an admission
    before anything is sent, MaxCmdSN never goes back on the wire.
    """

    __slots__ = ("expected", "maximum")

    def __init__(self, first: int, size: int) -> None:
        self.expected = first
        self.maximum = following(first, size - 1)

    def place(self, cmd_sn: int) -> Place:
        """Whether a command with this number is the next, early, or to be ignored."""
        ahead = cmd_sn - self.expected & _MASK
        if ahead >= self.maximum + 1 - self.expected & _MASK:
            return _OUTSIDE
        return _EARLY if ahead else _IN_TURN

    def admit(self) -> None:
        """The expected command has come, and its slot is free again at once."""
        self.expected = self.expected + 1 & _MASK
        self.maximum = self.maximum + 1 & _MASK

    def occupy(self) -> None:
        """A task keeps the slot of the command admitted last."""
        self.maximum = self.maximum - 1 & _MASK

    def release(self) -> None:
        """A task gave its slot back."""
        self.maximum = self.maximum + 1 & _MASK


class TransferTags:
    """Target transfer tags: each is valid until it is answered, none is the reserved one."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = 0

    def take(self) -> int:
        """A tag that was not in use before (it comes again after 2**32 - 1 others)."""
        self._last = (self._last + 1) % RESERVED_TAG
        return self._last
