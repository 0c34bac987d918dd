"""Text in the full feature phase: SendTargets, and the few keys that may still change (RFC 7143 11.10).

An answer longer than the initiator takes at once goes out in parts: each but the
last has the C bit and a transfer tag, with which the initiator asks for the next.
"""

from collections.abc import Callable
from enum import StrEnum

from twinlock.errors import ProtocolError
from twinlock.iscsi.directory import TargetDirectory
from twinlock.iscsi.events import Discovered, Event
from twinlock.iscsi.framing import Pdu
from twinlock.iscsi.machine import StateMachine
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


class TextState(StrEnum):
    """Where an exchange is."""

    IDLE = "none under way"
    COLLECTING = "request goes on"
    ANSWERING = "answer goes on"
    OPEN = "answered, initiator goes on"


class TextEvent(StrEnum):
    """What a request is, and what became of an answer."""

    FIRST_PART = "no tag, C bit"
    FIRST_WHOLE = "no tag"
    NEXT_PART = "our tag, C bit"
    NEXT_WHOLE = "our tag"
    STRANGE = "another tag"
    PART_SENT = "part of the answer sent"
    ENDED = "answer sent, F bit"
    ALL_SENT = "answer sent, no F bit"


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
        self._state = TEXT.start
        self._tag = RESERVED_TAG
        self._collector = TextCollector()
        self._rest = b""

    def receive(self, header: TextRequest, pdu: Pdu) -> Event | None:
        """Answer a text request; raises :class:`UnknownTag` (nothing changed), ProtocolError or Malformed."""
        return self._step(self._kind(header), header, pdu)

    def _step(self, event: TextEvent, header: TextRequest, pdu: Pdu) -> Event | None:
        self._state, act = TEXT.steps[self._state, event]
        return act(self, header, pdu)

    def _kind(self, header: TextRequest) -> TextEvent:
        if header.target_transfer_tag == RESERVED_TAG:
            return TextEvent.FIRST_PART if header.more else TextEvent.FIRST_WHOLE
        if header.target_transfer_tag != self._tag:
            return TextEvent.STRANGE
        return TextEvent.NEXT_PART if header.more else TextEvent.NEXT_WHOLE

    def _begin(self, header: TextRequest, pdu: Pdu) -> Event | None:
        self._collector = TextCollector()
        self._rest = b""
        return self._collect(header, pdu)

    def _collect(self, header: TextRequest, pdu: Pdu) -> Event | None:
        """Take a part of the text; with the last, answer."""
        keys = self._collector.add(pdu.data, more=header.more)
        if keys is None:
            self._respond(header, b"", final=False, more=False)
            return None
        pairs, event = self._answer(keys)
        self._rest = build_pairs(pairs)
        self._send(header, pdu)
        return event

    def _refuse(self, _header: TextRequest, _pdu: Pdu) -> Event | None:
        raise UnknownTag("a text request with an unknown transfer tag")

    def _wait(self, _header: TextRequest, _pdu: Pdu) -> Event | None:
        """The initiator has the next word."""
        return None

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

    def _send(self, header: TextRequest, pdu: Pdu) -> Event | None:
        """The next part of the answer."""
        size = self._negotiation.parameters.initiator_data_segment
        part, self._rest = self._rest[:size], self._rest[size:]
        self._respond(header, part, final=header.final and not self._rest, more=bool(self._rest))
        all_sent = TextEvent.ENDED if header.final else TextEvent.ALL_SENT
        return self._step(TextEvent.PART_SENT if self._rest else all_sent, header, pdu)

    def _respond(self, header: TextRequest, part: bytes, *, final: bool, more: bool) -> None:
        self._tag = RESERVED_TAG if final else self._take_tag()
        self._outbox.put(
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


_State, _Event = TextState, TextEvent
_Act = Callable[[TextExchange, TextRequest, Pdu], Event | None]
TEXT: StateMachine[TextState, TextEvent, _Act] = StateMachine(
    "An exchange of text",
    "RFC 7143 sections 11.10 and 11.11",
    states=TextState,
    events=TextEvent,
    arrows={
        **{(state, _Event.FIRST_PART): (_State.COLLECTING, TextExchange._begin) for state in TextState},
        **{(state, _Event.FIRST_WHOLE): (_State.ANSWERING, TextExchange._begin) for state in TextState},
        (_State.COLLECTING, _Event.NEXT_PART): (_State.COLLECTING, TextExchange._collect),
        (_State.COLLECTING, _Event.NEXT_WHOLE): (_State.ANSWERING, TextExchange._collect),
        (_State.ANSWERING, _Event.PART_SENT): (_State.ANSWERING, TextExchange._wait),
        (_State.ANSWERING, _Event.NEXT_PART): (_State.ANSWERING, TextExchange._send),
        (_State.ANSWERING, _Event.NEXT_WHOLE): (_State.ANSWERING, TextExchange._send),
        (_State.ANSWERING, _Event.ENDED): (_State.IDLE, TextExchange._wait),
        (_State.ANSWERING, _Event.ALL_SENT): (_State.OPEN, TextExchange._wait),
        (_State.OPEN, _Event.NEXT_PART): (_State.COLLECTING, TextExchange._collect),
        (_State.OPEN, _Event.NEXT_WHOLE): (_State.ANSWERING, TextExchange._collect),
    },
    otherwise=(None, TextExchange._refuse),
)
