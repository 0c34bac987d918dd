"""What the grammar needs of the other side: a target, without I/O or behind a socket."""

from collections.abc import Sequence
from typing import Protocol

from tests.fuzz.cdbs import Disk
from tests.fuzz.choices import Choices
from tests.fuzz.oracle.judge import Judge
from tests.fuzz.streams import RawPdu


class Link(Protocol):
    """One connection at a time to one target."""

    disk: Disk
    policy: str
    """The name of the row of ``setups.POLICIES`` by which the target authenticates."""

    @property
    def judge(self) -> Judge:
        """Of the present connection."""

    @property
    def over(self) -> bool:
        """The target has ended the connection."""

    def deliver(self, data: bytes) -> Sequence[RawPdu]:
        """Bytes to the target; what came back by now."""

    def act(self, choices: Choices, *, fair: bool) -> Sequence[RawPdu]:
        """Something happens at the target's end; ``fair``: nothing that ends a command in silence."""

    def settle(self) -> Sequence[RawPdu]:
        """Let the target finish what it has to do; what came back."""

    def visit(self) -> None:
        """The well-behaved neighbour writes, reads back, and complains if that went wrong."""

    def hang_up(self) -> None:
        """The initiator is gone; nothing of its session may be left."""

    def connect(self) -> None:
        """Begin a new connection; hangs up first if there is one."""
