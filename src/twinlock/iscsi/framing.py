"""PDUs out of a stream of bytes that may be cut anywhere, and buffers out of PDUs.

A PDU that arrived whole is not copied: its data are a view of what the caller
passed in.  One that arrived in pieces is put together in a buffer of its own,
which is no larger than the limit that holds at that moment.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from typing_extensions import Buffer

from twinlock.errors import ProtocolError
from twinlock.units import round_up
from twinlock.wire.iscsi_codes import AhsType
from twinlock.wire.iscsi_requests import BHS_SIZE, REQUESTS, AdditionalHeader, BasicHeader
from twinlock.wire.structure import Structure

_WORD = 4
PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
"""What follows a data segment, by its length modulo 4 (RFC 7143 section 11.1)."""
_NO_DATA = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU: its parsed header (:class:`BasicHeader` if the opcode is unknown) and where its parts lie."""

    header: Structure
    packet: memoryview
    ahs_length: int
    data: memoryview

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
    """Cuts a stream into PDUs.  ``data_segment_limit`` (bytes) may be changed between two of them."""

    def __init__(self, *, data_segment_limit: int) -> None:
        self.data_segment_limit = data_segment_limit
        self._partial: _Partial | None = None

    def feed(self, data: Buffer) -> Iterator[Pdu]:
        """The PDUs that ``data`` completes; raises :class:`ProtocolError` for one beyond the limit.

        PDUs keep views of ``data``, so the caller must not change it afterwards.
        """
        view = memoryview(data)
        while len(view):
            if self._partial is None and len(view) >= BHS_SIZE:
                basic = BasicHeader.parse(view)
                size = self._size(basic)
                if size <= len(view):
                    yield _pdu(basic, view[:size])
                    view = view[size:]
                    continue
            view, packet = self._gather(view)
            if packet is not None:
                yield _pdu(BasicHeader.parse(packet), packet)

    def _gather(self, view: memoryview) -> tuple[memoryview, memoryview | None]:
        """Add to the PDU that is not all there; the rest of ``view``, and the PDU once it is complete."""
        partial = self._partial = self._partial or _Partial(BHS_SIZE)
        view = partial.fill(view)
        if partial.complete and partial.size == BHS_SIZE:
            partial.grow(self._size(BasicHeader.parse(partial.buffer)))
        if not partial.complete:
            return view, None
        self._partial = None
        return view, memoryview(partial.buffer)

    def _size(self, header: BasicHeader) -> int:
        if header.data_segment_length > self.data_segment_limit:
            raise ProtocolError(f"a data segment of {header.data_segment_length} bytes")
        return BHS_SIZE + _WORD * header.total_ahs_length + round_up(header.data_segment_length, _WORD)


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


def _pdu(basic: BasicHeader, packet: memoryview) -> Pdu:
    header = REQUESTS.get(basic.opcode, BasicHeader).parse(packet)
    ahs_length = _WORD * basic.total_ahs_length
    start = BHS_SIZE + ahs_length
    length = basic.data_segment_length
    return Pdu(header, packet, ahs_length, packet[start : start + length] if length else _NO_DATA)
