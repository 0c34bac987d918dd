"""Text that is continued over several PDUs by the C bit (RFC 7143 sections 6.1 and 11.10.2)."""

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.iscsi import limits
from twinlock.iscsi.negotiation import unique
from twinlock.wire.iscsi_text import parse_pairs


class TextCollector:
    """Puts the parts of a text together."""

    def __init__(self) -> None:
        self._parts = bytearray()

    def add(self, part: Buffer, *, more: bool) -> dict[str, str] | None:
        """The keys of the text, or None while there is more to come; raises ProtocolError or Malformed."""
        self._parts += part
        if len(self._parts) > limits.NEGOTIATION_TEXT:
            raise ProtocolError("a text that is too long")
        if more:
            return None
        whole, self._parts = self._parts, bytearray()
        return unique(parse_pairs(whole, keys=limits.TEXT_KEYS, value_length=limits.TEXT_VALUE))
