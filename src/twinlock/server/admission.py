"""Who may use the volume: one initiator at a time, or several in shared mode.

There is a number of places: one, or ``MAX_SESSIONS`` in shared mode.  A newcomer that
finds none free makes the target ping the session that has been silent for longest.
Any PDU from it within the patience turns the newcomer away; silence evicts the
session.  The same name with the same ISID is no newcomer but a reinstatement
(RFC 7143 section 6.3.5): it has the place of its predecessor, at once.

A newcomer is let in when none of its predecessor's commands can reach a member any
more, so two machines never write at once.  Until then it waits in the thread of its
own connection, without a lock, so nobody else waits for it; how many may wait is bounded.
"""

from twinlock.scsi.nexus import Nexus
from twinlock.server.sessions import Session, Sessions
from twinlock.server.timing import SYSTEM_TIMER, Timer
from twinlock.wire.iscsi_codes import LoginStatus

MAX_SESSIONS = 32
"""At once, in shared mode."""
MAX_NEWCOMERS = 8
"""That wait for a place at once; one that reinstates a session always may."""
LOOK_SECONDS = 1.0
"""Between two looks at whether a newcomer that waits for its predecessor's commands is still there."""
TURNED_AWAY = LoginStatus.OUT_OF_RESOURCES
"""Another session has the place.  Of class 3, target error: initiators try again by themselves."""


class Admission:
    """Decides who may use the volume."""

    def __init__(
        self, sessions: Sessions, patience: float, *, shared: bool = False, timer: Timer = SYSTEM_TIMER
    ) -> None:
        """``patience``: seconds a session has to answer a ping."""
        self._sessions = sessions
        self._patience = patience
        self._places = MAX_SESSIONS if shared else 1
        self._timer = timer
        self._changed = sessions.changed
        self._newcomers: dict[Nexus, Session] = {}
        self._heirs: set[Nexus] = set()  # newcomers that reinstate: their predecessor's place is theirs
        self._closed = False

    def close(self) -> None:
        """Admit nobody any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def admit(self, newcomer: Session) -> LoginStatus:
        """SUCCESS if ``newcomer`` is among the sessions now; blocks while it has to wait."""
        nexus = newcomer.nexus
        with self._changed:
            if not self._may_wait(nexus):
                return TURNED_AWAY
            self._newcomers[nexus] = newcomer  # an earlier attempt of the same initiator gives up
            self._changed.notify_all()
        try:
            return self._wait_for_place(newcomer)
        finally:
            with self._changed:
                if self._newcomers.get(nexus) is newcomer:
                    del self._newcomers[nexus]
                    self._heirs.discard(nexus)

    def _may_wait(self, nexus: Nexus) -> bool:
        returns = nexus in self._newcomers or self._sessions.of(nexus) is not None
        return returns or len(self._newcomers) < MAX_NEWCOMERS

    def _wait_for_place(self, newcomer: Session) -> LoginStatus:
        while True:
            with self._changed:
                if self._gives_up(newcomer):
                    return LoginStatus.SERVICE_UNAVAILABLE if self._closed else TURNED_AWAY
                if self._has_place(newcomer):
                    self._sessions.add(newcomer)
                    return LoginStatus.SUCCESS
                holder = self._holder(newcomer)
                if holder is None:
                    return TURNED_AWAY
            if self._keeps_place(holder, newcomer):
                return TURNED_AWAY
            self._evict(holder, newcomer)

    def _gives_up(self, newcomer: Session) -> bool:
        """Whether ``newcomer`` must not be admitted any more: it left, or the same initiator came again."""
        superseded = self._newcomers.get(newcomer.nexus) is not newcomer
        return self._closed or superseded or newcomer.is_gone()

    def _has_place(self, newcomer: Session) -> bool:
        taken = {session.nexus for session in self._sessions.all()}
        if newcomer.nexus in taken:
            self._heirs.add(newcomer.nexus)
            return False
        return newcomer.nexus in self._heirs or len(taken | self._heirs) < self._places

    def _holder(self, newcomer: Session) -> Session | None:
        """Who has to go before ``newcomer`` can be let in; None if the place is kept for its last holder."""
        predecessor = self._sessions.of(newcomer.nexus)
        if predecessor is not None:
            return predecessor
        sessions = self._sessions.all()
        gone = next((session for session in sessions if session.is_gone()), None)
        return gone or min(sessions, key=lambda session: session.last_heard, default=None)

    def _keeps_place(self, holder: Session, newcomer: Session) -> bool:
        if holder.nexus == newcomer.nexus or holder.is_gone():
            return False
        return holder.answers_ping(self._patience, lambda: self._gives_up(newcomer))

    def _evict(self, holder: Session, newcomer: Session) -> None:
        """Return once none of the holder's commands is left, or when ``newcomer`` waits no more."""
        with self._changed:
            if self._gives_up(newcomer):  # one that is gone evicts nobody
                return
        holder.drop()
        with self._changed:

            def is_decided() -> bool:
                return holder not in self._sessions or self._gives_up(newcomer)

            while not is_decided():
                self._timer.wait_for(self._changed, is_decided, LOOK_SECONDS)
