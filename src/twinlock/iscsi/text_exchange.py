"""Text in the full feature phase: SendTargets, and the few keys that may still change (RFC 7143 11.10).

An answer longer than the initiator takes at once goes out in parts: each but the
last has the C bit and a transfer tag, with which the initiator asks for the next.
"""

from collections.abc import Callable

from twinlock.errors import ProtocolError
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.events import Discovered, Event
from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.negotiation import REJECT, Negotiation
from twinlock.iscsi.outbox import Outbox
from twinlock.iscsi.session import SessionInfo, SessionType
from twinlock.iscsi.text import TextCollector
from twinlock.wire.iscsi_codes import RESERVED_TAG, Stage
from twinlock.wire.iscsi_requests import TextRequest
from twinlock.wire.iscsi_responses import TextResponse
from twinlock.wire.iscsi_text import Pairs, build_pairs


class UnknownTag(ProtocolError):
    """A text request continues an exchange that is not under way."""


class TextExchange:
    """One exchange at a time; a request without a transfer tag begins a new one."""

    def __init__(
        self,
        outbox: Outbox,
        negotiation: Negotiation,
        session: SessionInfo,
        directory: TargetDirectory,
        take_tag: Callable[[], int],
    ) -> None:
        self._outbox = outbox
        self._negotiation = negotiation
        self._session = session
        self._directory = directory
        self._take_tag = take_tag
        self._reset()

    def _reset(self) -> None:
        self._collector = TextCollector()
        self._tag = RESERVED_TAG
        self._rest = b""

    def receive(self, header: TextRequest, pdu: Pdu) -> Event | None:
        """Answer a text request; raises :class:`UnknownTag` (nothing changed), ProtocolError or Malformed."""
        if header.target_transfer_tag == RESERVED_TAG:
            self._reset()
        elif header.target_transfer_tag != self._tag:
            raise UnknownTag("a text request with an unknown transfer tag")
        if self._rest:
            self._send(header)
            return None
        keys = self._collector.add(pdu.data, more=header.more)
        if keys is None:
            self._respond(header, b"", final=False, more=False)
            return None
        pairs, event = self._answer(keys)
        self._rest = build_pairs(pairs)
        self._send(header)
        return event

    def _answer(self, keys: dict[str, str]) -> tuple[Pairs, Event | None]:
        wanted = keys.pop("SendTargets", None)
        pairs = list(self._negotiation.answer(keys, Stage.FULL_FEATURE).items())
        if wanted is None:
            return pairs, None
        targets = self._targets(wanted)
        if targets is None:
            return [*pairs, ("SendTargets", REJECT)], None
        event = None
        if self._session.session_type is SessionType.DISCOVERY:
            event = Discovered(self._session.initiator_name, tuple(name for name, _ in targets))
        return pairs + _described(targets), event

    def _targets(self, wanted: str) -> list[tuple[str, list[str]]] | None:
        """The targets a value of SendTargets means; None if it must not be asked (appendix C)."""
        visible = [
            (name, list(portals)) for name, portals in self._directory.visible(self._session.initiator_name)
        ]
        if self._session.session_type is SessionType.DISCOVERY:
            if wanted == "All":
                return visible
            return [target for target in visible if target[0] == wanted] if wanted else None
        own = self._session.target_name
        if wanted not in ("", own):
            return None
        return [target for target in visible if target[0] == own]

    # -- responses --------------------------------------------------------------------------------

    def _send(self, header: TextRequest) -> None:
        """The next part of the answer."""
        size = self._negotiation.parameters.initiator_data_segment
        part, self._rest = self._rest[:size], self._rest[size:]
        self._respond(header, part, final=header.final and not self._rest, more=bool(self._rest))

    def _respond(self, header: TextRequest, part: bytes, *, final: bool, more: bool) -> None:
        self._tag = RESERVED_TAG if final else self._take_tag()
        self._outbox.put_status(
            TextResponse,
            part,
            final=final,
            more=more,
            lun=header.lun,
            initiator_task_tag=header.initiator_task_tag,
            target_transfer_tag=self._tag,
        )


def _described(targets: list[tuple[str, list[str]]]) -> Pairs:
    """TargetName and its TargetAddresses, target after target (appendix C)."""
    return [
        pair
        for name, portals in targets
        for pair in (("TargetName", name), *(("TargetAddress", portal) for portal in portals))
    ]
