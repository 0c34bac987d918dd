"""The reservations of one logical unit, as several sessions use them at once.

Everything that changes them takes a lock, and replaces the state as a whole.
Whoever only asks looks at the state of the moment, without it: a command
that was let through a moment before somebody reserved the unit came first.
What is persistent may have to be kept on a slow disk before it counts; nobody but
another change of that kind waits for this.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

from twinlock.scsi.attentions import UnitAttentions
from twinlock.scsi.nexus import Nexus
from twinlock.scsi.reservations.access import EXCLUSIVE, Access, Standing
from twinlock.scsi.reservations.actions import Change, Conflict, Request
from twinlock.scsi.reservations.record import ReservationStore, decode, encode
from twinlock.scsi.reservations.state import State
from twinlock.scsi.sense import refuse
from twinlock.wire.scsi_sense import SenseCode

Ending = Callable[[], None]
"""What remains to be done of a reset, once the commands that it aborted have ended."""


class Reservations:
    """What is reserved, for whom; ``unit`` identifies the logical unit in the record that is kept."""

    def __init__(
        self, attentions: UnitAttentions, unit: bytes, store: ReservationStore | None = None
    ) -> None:
        """Takes up what ``store`` kept.  Raises DamagedRecord, or what the store raises."""
        self._attentions = attentions
        self._unit = unit
        self._store = store
        self._changes = threading.Lock()
        """Held, also while the disk is waited for, by whoever changes what is persistent."""
        self._lock = threading.Lock()
        """Held for a moment, by whoever changes anything."""
        record = None if store is None else store.load()
        self._state = State() if record is None else decode(record, unit)
        self._owner: Nexus | None = None
        self._reserves = 0
        self._registering = False
        self.in_use = bool(self._state.registrations)
        """Whether anything is reserved or registered at all: if not, nothing can conflict."""

    @property
    def state(self) -> State:
        """The persistent reservation and the registrations, as they are now."""
        return self._state

    @property
    def can_keep(self) -> bool:
        """PTPL_C: whether they can be kept across restarts."""
        return self._store is not None

    def conflict(self, nexus: Nexus, access: Access) -> bool:
        """Whether a command of ``nexus`` that needs ``access`` ends in RESERVATION CONFLICT."""
        owner = self._owner
        if owner is None:
            return not self._state.allows(nexus, access)
        return access not in EXCLUSIVE[Standing.HOLDER if owner == nexus else Standing.STRANGER]

    def apply(self, action: Callable[[State, Request], Change], request: Request) -> Change:
        """Carry out a service action: keep its outcome, then let it count, then tell whom it concerns.

        Waits for the store.  Raises Conflict or a Refusal, and then nothing has changed; only a restart may
        find kept what could not be kept.
        """
        with self._changes:
            change = self._prepare(action, request)
            try:
                self._keep(change.state)
                with self._lock:
                    self._become(change.state, None)
            finally:
                self._registering = False
            for code, nexuses in change.news:
                self._attentions.establish(code, nexuses)
        return change

    def _prepare(self, action: Callable[[State, Request], Change], request: Request) -> Change:
        """The change that is to be made; from here on until it is made nobody can RESERVE in its way."""
        with self._lock:
            if self._owner is not None:
                raise Conflict
            change = action(self._state, request)
            self._registering = bool(change.state.registrations)
            return change

    def reserve(self, nexus: Nexus) -> None:
        """RESERVE of SPC-2; without effect for those who hold the unit persistently.  Raises Conflict."""
        with self._lock:
            if self.conflict(nexus, Access.RESERVE):
                raise Conflict
            if self._state.registrations:
                return
            if self._registering:  # whose command came first, and is being kept
                raise Conflict
            self._reserves += 1
            self._become(self._state, nexus)

    def release(self, nexus: Nexus) -> None:
        """RELEASE of SPC-2; without effect for those who hold nothing."""
        with self._lock:
            if self._owner == nexus:
                self._become(self._state, None)

    def reset(self) -> Ending:
        """A reset ends a RESERVE, and nothing that is persistent: when what is returned is called.

        That is due once no command from before the reset can have an effect any more, for then others may
        reserve the unit.  Who reserves it anew until then has reserved it.
        """
        reserves = self._reserves

        def end() -> None:
            with self._lock:
                if self._reserves == reserves:
                    self._become(self._state, None)

        return end

    def power_on(self) -> None:
        """As after a loss of power: what was not asked to be kept is gone (APTPL)."""
        with self._lock:
            kept = replace(self._state, generation=0) if self._state.kept else State()
            self._become(kept, None)

    def _become(self, state: State, owner: Nexus | None) -> None:
        """Both kinds of reservation at once; ``in_use`` is up before anything is reserved, down after it."""
        self.in_use = True
        self._state, self._owner = state, owner
        self.in_use = owner is not None or bool(state.registrations)

    def _keep(self, state: State) -> None:
        """Save ``state`` if it has to survive, and wipe the record of one that no longer has to."""
        if self._store is None or not (state.kept or self._state.kept):
            return
        if replace(state, generation=0) == replace(self._state, generation=0):
            return
        try:
            self._store.save(encode(state if state.kept else State(), self._unit))
        except OSError:
            raise refuse(SenseCode.INTERNAL_TARGET_FAILURE) from None
