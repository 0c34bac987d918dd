"""PDUs out of a stream of bytes that may be cut anywhere, and buffers out of PDUs.

A PDU that arrived whole is not copied: its data are a view of what the caller
passed in.  One that arrived in pieces is put together in a buffer of its own,
which is no larger than the limit that holds at that moment.
"""

from collections.abc import Iterator
from typing import NamedTuple

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.iscsi.digest import DIGEST_SIZE, NO_DIGESTS, digest
from twinlock.units import round_up
from twinlock.wire.iscsi_codes import AhsType
from twinlock.wire.iscsi_requests import BHS_SIZE, REQUESTS, AdditionalHeader, BasicHeader, HeaderStart
from twinlock.wire.structure import Structure

_WORD = 4
PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What follows a data segment, by its length modulo 4 (RFC 7143 section 11.1)."""
_NO_DATA = memoryview(b"")


class Pdu(NamedTuple):
    """One PDU: its parsed header (:class:`BasicHeader` if the opcode is unknown) and where its parts lie."""

    header: Structure
    packet: memoryview
    ahs_length: int
    data: memoryview
    intact: bool = True
    """False if the data digest is wrong."""

    @property
    def basic_header(self) -> memoryview:
        """The 48 bytes of the header as they came."""
        return self.packet[:BHS_SIZE]

    def additional_headers(self) -> Iterator[tuple[int, memoryview]]:
        """Type and content of each additional header segment (section 11.2.2)."""
        position, end = BHS_SIZE, BHS_SIZE + self.ahs_length
        while position < end:
            header = AdditionalHeader.parse(self.packet, position)
            content = position + AdditionalHeader.SIZE
            position += round_up(AdditionalHeader.SIZE - 1 + header.length, _WORD)
            if header.length == 0 or position > end:
                raise ProtocolError("an additional header segment that leaves its PDU")
            yield header.type, self.packet[content : content + header.length - 1]

    def extended_cdb(self) -> bytes:
        """What a CDB of more than 16 bytes has beyond them (section 11.2.2.3)."""
        if not self.ahs_length:
            return b""
        parts = (
            bytes(content) for kind, content in self.additional_headers() if kind == AhsType.EXTENDED_CDB
        )
        return next(parts, b"")


class PduReader:
    """Cuts a stream into PDUs.

    ``data_segment_limit`` (bytes) and ``digests`` may be changed between two of them.
    """

    def __init__(self, *, data_segment_limit: int) -> None:
        self.data_segment_limit = data_segment_limit
        self.digests = NO_DIGESTS
        self._partial: _Partial | None = None

    def feed(self, data: Buffer) -> Iterator[Pdu]:
        """The PDUs that ``data`` completes.

        Raises :class:`ProtocolError` for one beyond the limit, and for a header digest that is wrong: then
        nobody knows where the next PDU begins.  PDUs keep views of ``data``, so it must not be changed.
        """
        view = memoryview(data)
        while len(view):
            if self._partial is None and len(view) >= BHS_SIZE:
                start = HeaderStart.parse(view)
                size = self._needed(start, view)
                if size <= len(view):
                    yield self._pdu(start, view[:size])
                    view = view[size:]
                    continue
            view, packet = self._gather(view)
            if packet is not None:
                yield self._pdu(HeaderStart.parse(packet), packet)

    def _gather(self, view: memoryview) -> tuple[memoryview, memoryview | None]:
        """Add to the PDU that is not all there; the rest of ``view``, and the PDU once it is complete."""
        partial = self._partial = self._partial or _Partial(BHS_SIZE)
        view = partial.fill(view)
        if partial.complete:
            whole = memoryview(partial.buffer)
            needed = self._needed(HeaderStart.parse(whole), whole)
            if needed == partial.size:
                self._partial = None
                return view, whole
            whole.release()
            partial.grow(needed)
        return view, None

    def _needed(self, start: HeaderStart, view: memoryview) -> int:
        """Bytes of the PDU that begins ``view``; of its header alone until that is there to be checked."""
        size = BHS_SIZE + _WORD * start.total_ahs_length
        if self.digests.header:
            if len(view) < size + DIGEST_SIZE:
                return size + DIGEST_SIZE
            if digest(view[:size]) != view[size : size + DIGEST_SIZE]:
                raise ProtocolError("a header digest that is wrong")
            size += DIGEST_SIZE
        length = start.data_segment_length
        if length > self.data_segment_limit:
            raise ProtocolError(f"a data segment of {length} bytes")
        return size + round_up(length, _WORD) + (DIGEST_SIZE if length and self.digests.data else 0)

    def _pdu(self, start: HeaderStart, packet: memoryview) -> Pdu:
        header = REQUESTS.get(start.opcode, BasicHeader).parse(packet)
        ahs_length = _WORD * start.total_ahs_length
        length = start.data_segment_length
        if not length:
            return Pdu(header, packet, ahs_length, _NO_DATA)
        at = BHS_SIZE + ahs_length + (DIGEST_SIZE if self.digests.header else 0)
        return Pdu(header, packet, ahs_length, packet[at : at + length], self._is_intact(packet, at))

    def _is_intact(self, packet: memoryview, at: int) -> bool:
        return not self.digests.data or digest(packet[at:-DIGEST_SIZE]) == packet[-DIGEST_SIZE:]


class _Partial:
    """A PDU that is not all there yet."""

    __slots__ = ("buffer", "filled", "size")

    def __init__(self, size: int) -> None:
        self.buffer = bytearray(size)
        self.filled = 0
        self.size = size

    @property
    def complete(self) -> bool:
        return self.filled == self.size

    def fill(self, view: memoryview) -> memoryview:
        """Take what is missing from ``view``; the rest is returned."""
        taken = min(len(view), self.size - self.filled)
        with memoryview(self.buffer) as whole:
            whole[self.filled : self.filled + taken] = view[:taken]
        self.filled += taken
        return view[taken:]

    def grow(self, size: int) -> None:
        self.buffer.extend(bytes(size - self.size))
        self.size = size
