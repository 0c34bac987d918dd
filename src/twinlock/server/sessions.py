"""The sessions of a volume, from their admission until none of their commands is left.

What reaches over from one session to others goes through here: an abort marks the
tasks of all that are meant, and is answered when none of them can have an effect
any more.  Nobody waits in a thread for that, and what waits is no command, so two
sessions that abort each other's tasks do not wait for each other.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from twinlock.iscsi.task import Task
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.target import ScsiTarget
from twinlock.server.in_flight import Action, Affected, InFlight


class Session(Protocol):
    """An admitted session, as the others see it."""

    @property
    def nexus(self) -> Nexus:
        """Initiator name and ISID."""

    @property
    def in_flight(self) -> InFlight:
        """Its commands that are being carried out."""

    def abort_tasks(self, affected: Affected) -> None:
        """Abort tasks in silence; waits for nothing."""

    def drop(self, *, all_sessions: bool = False) -> None:
        """Tell the initiator if that needs no waiting, and cut the connection; waits for nothing.

        ``all_sessions``: every session is dropped, not this connection alone.
        """

    def is_gone(self) -> bool:
        """True if nobody waits at the other end any more."""

    @property
    def last_heard(self) -> float:
        """When anything came from the initiator, in the timer's seconds."""

    def answers_ping(self, patience: float, given_up: Callable[[], bool] = ...) -> bool:
        """Ping the initiator; True if anything comes within ``patience`` seconds.

        False as soon as ``given_up`` says that nobody wants to know any more.
        """


class Sessions:
    """Who is there; ``changed`` is notified when somebody comes or goes."""

    def __init__(self, target: ScsiTarget) -> None:
        self._target = target
        self._sessions: dict[Session, None] = {}  # oldest first
        self.changed = threading.Condition(threading.RLock())

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, session: Session) -> bool:
        return session in self._sessions

    def all(self) -> list[Session]:
        """Every session that may still have a command, oldest first."""
        with self.changed:
            return list(self._sessions)

    def of(self, nexus: Nexus) -> Session | None:
        """The session of ``nexus``; there is one at most."""
        return next((session for session in self.all() if session.nexus == nexus), None)

    def add(self, session: Session) -> None:
        """The session is admitted."""
        with self.changed:
            self._sessions[session] = None
            self.changed.notify_all()

    def remove(self, session: Session) -> None:
        """The session has ended, and none of its commands is left: its nexus is lost (SAM-5, I_T nexus loss).

        Nothing happens for one that was never admitted.
        """
        with self.changed:
            if session in self._sessions:
                del self._sessions[session]
                if self.of(session.nexus) is None:
                    self._target.nexus_lost(session.nexus)
            self.changed.notify_all()


def abort(sessions: Iterable[Session], affected: Affected) -> frozenset[Nexus]:
    """Abort the affected tasks of ``sessions``; the nexuses that lost any."""
    return frozenset(session.nexus for session in sessions if _abort(session, affected))


def when_ended(sessions: Iterable[Session], affected: Affected, action: Action) -> None:
    """Run ``action`` when no affected task of ``sessions`` that was aborted can have an effect any more.

    It runs at once, or in the thread that ends the last one.
    """
    chosen = list(sessions)
    countdown = _Countdown(len(chosen), action)
    for session in chosen:
        session.in_flight.when_ended(lambda task: task.aborted and affected(task), countdown.step)


def _abort(session: Session, affected: Affected) -> bool:
    """True if the session had such a task, delivered or not."""
    found = False

    def noted(task: Task) -> bool:
        nonlocal found
        chosen = affected(task)
        found = found or chosen
        return chosen

    session.abort_tasks(noted)
    return found


class _Countdown:
    """Runs an action after so many steps; at once if there are none."""

    def __init__(self, steps: int, action: Action) -> None:
        self._lock = threading.Lock()
        self._left = steps
        self._action = action
        if not steps:
            action()

    def step(self) -> None:
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._action()
