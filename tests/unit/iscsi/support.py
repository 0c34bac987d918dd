"""A target and an initiator joined by a link that carries bytes at once, or one by one."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.initiator import Credentials, Initiator
from twinlock.iscsi import limits
from twinlock.iscsi.chap import ChapPolicy, Secret
from twinlock.iscsi.connection import TargetConnection, TargetEntry
from twinlock.iscsi.directory import everyone
from twinlock.iscsi.events import CommandReceived, Event, LoggedIn, ProtocolFailure, SessionInfo
from twinlock.iscsi.task import Task
from twinlock.wire.iscsi_codes import RESERVED_TAG
from twinlock.wire.iscsi_responses import R2T, DataIn, NopIn

TARGET = "iqn.2026-11.io.twinlock:backup"
OTHER = "iqn.2026-11.io.twinlock:other"
POLICY = ChapPolicy("owner", Secret("a long secret 1"), "target", Secret("another secret 2"))
CREDENTIALS = Credentials("owner", b"a long secret 1")
MUTUAL = Credentials("owner", b"a long secret 1", "target", b"another secret 2")
GOOD, CHECK_CONDITION = 0, 2
TEST_UNIT_READY = bytes(16)


class Directory:
    """Two targets, of which the second is locked; the rest is the first one's."""

    def __init__(
        self, authentication: ChapPolicy | None = None, permits: Callable[[str], bool] = everyone
    ) -> None:
        self._entries = {
            TARGET: TargetEntry(TARGET, "backup", authentication, available=True, permits=permits),
            OTHER: TargetEntry(OTHER, available=False),
        }

    def find(self, target_name: str, /) -> TargetEntry | None:
        return self._entries.get(target_name)

    def visible(self, _initiator_name: str, /) -> Sequence[tuple[str, Sequence[str]]]:
        portals = ["192.0.2.1:3260,1", "[2001:db8::1]:3260,1"]
        return [(name, portals) for name in self._entries]


def random_bytes() -> Any:
    """A source of bytes that look random and are not: each call begins where the last ended."""
    source = itertools.count(1)
    return lambda size: bytes(next(source) * 37 % 256 for _ in range(size))


def target(
    authentication: ChapPolicy | None = None, *, permits: Callable[[str], bool] = everyone, **options: Any
) -> TargetConnection:
    directory = Directory(authentication, permits)
    return TargetConnection(directory, random_bytes=random_bytes(), tsih=7, **options)


class Link:
    """Both ends; ``events`` are all that the target told."""

    def __init__(
        self,
        initiator: Initiator | None = None,
        connection: TargetConnection | None = None,
        *,
        step: int = 1 << 30,
    ) -> None:
        self.initiator = initiator or Initiator(TARGET)
        self.target = connection or target()
        self.events: list[Event] = []
        self._step = step

    def run(self) -> list[Event]:
        """Carry bytes both ways until there are no more; the events of this run."""
        new: list[Event] = []
        while True:
            sent = self.initiator.take_output()
            for start in range(0, len(sent), self._step):
                new += self.target.receive(sent[start : start + self._step])
            answer = b"".join(self.target.take_output())
            new += self.target.take_events()
            if not sent and not answer:
                self.events += new
                return new
            self.initiator.receive(answer)

    def log_in(self) -> SessionInfo:
        self.initiator.login()
        (event,) = self.run()
        assert isinstance(event, LoggedIn)
        return event.session

    def deliver(self, tag: int | None = None) -> Task:
        """Run, and expect one command (of that tag) and nothing else."""
        (event,) = self.run()
        assert isinstance(event, CommandReceived)
        assert tag is None or event.task.initiator_task_tag == tag
        return event.task

    def failure(self) -> ProtocolFailure:
        """Run, and expect the connection to fail at the end."""
        event = self.run()[-1]
        assert isinstance(event, ProtocolFailure)
        return event


class Numbers:
    """Checks what came over the wire, PDU by PDU."""

    def __init__(self, first: Any) -> None:
        self.stat_sn = first.stat_sn
        self.exp_cmd_sn, self.max_cmd_sn = first.exp_cmd_sn, first.max_cmd_sn

    def check(self, header: Any) -> None:
        status = not isinstance(header, R2T | DataIn) or getattr(header, "status_present", False)
        pings = isinstance(header, NopIn) and header.initiator_task_tag == RESERVED_TAG
        if isinstance(header, DataIn) and not status:
            assert header.stat_sn == 0
        else:
            assert header.stat_sn == self.stat_sn
        self.stat_sn += status and not pings
        assert header.exp_cmd_sn >= self.exp_cmd_sn
        assert header.max_cmd_sn >= self.max_cmd_sn
        assert header.exp_cmd_sn - 1 <= header.max_cmd_sn < header.exp_cmd_sn + limits.COMMAND_WINDOW
        self.exp_cmd_sn, self.max_cmd_sn = header.exp_cmd_sn, header.max_cmd_sn


def session(**options: Any) -> Link:
    """A link whose initiator is logged in; ``keys`` are the initiator's, other options the target's."""
    link = Link(Initiator(TARGET, keys=options.pop("keys", None)), target(**options))
    link.log_in()
    return link
