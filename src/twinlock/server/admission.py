"""One initiator at a time, and a safe way in for the next.

A newcomer makes the target ping the holder.  Any PDU from the holder within the
patience turns the newcomer away; silence evicts the holder.  The same name with
the same ISID is no newcomer but a reinstatement (RFC 7143 section 6.3.5), at once.

An evicted holder's commands have all ended before the newcomer is let in, so
two machines never write at once.
"""

import threading
from typing import Protocol


class Holder(Protocol):
    """A session as admission sees it."""

    @property
    def nexus(self) -> tuple[str, bytes]:
        """Initiator name and ISID."""

    def is_over(self) -> bool:
        """True once the session has ended and none of its commands is left."""

    def is_gone(self) -> bool:
        """True if the initiator has closed the connection."""

    def answers_ping(self, patience: float) -> bool:
        """Ping the initiator; True if any PDU comes from it within ``patience`` seconds."""

    def evict(self) -> None:
        """End the session; returns when none of its commands can reach a member any more."""


class Admission:
    """Decides who may use the volume."""

    def __init__(self, patience: float) -> None:
        """``patience``: seconds the holder has to answer a ping."""
        self._patience = patience
        self._turn = threading.Lock()
        self._holder: Holder | None = None
        self._closed = False

    def close(self) -> None:
        """Admit nobody any more."""
        self._closed = True

    @property
    def holder(self) -> Holder | None:
        """The session that has the volume, or None."""
        holder = self._holder
        return None if holder is None or holder.is_over() else holder

    def admit(self, newcomer: Holder) -> bool:
        """True if ``newcomer`` has the volume now; blocks while the holder is asked."""
        with self._turn:
            if self._closed or newcomer.is_gone():  # it may have waited long for its turn
                return False
            holder = self.holder
            if holder is not None:
                if holder.nexus != newcomer.nexus and holder.answers_ping(self._patience):
                    return False
                holder.evict()
            if self._closed or newcomer.is_gone():
                return False
            self._holder = newcomer
            return True
