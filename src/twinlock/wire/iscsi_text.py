"""Text keys: ``key=value`` pairs, each ended by a zero byte (RFC 7143 section 6.1).

Parsing is strict about the grammar and bounded by the limits the caller gives;
what a key means is no concern of this module.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping

from typing_extensions import Buffer

from twinlock.wire.structure import Malformed

KEY_LENGTH = 63
"""Characters of the longest key name (section 6.1)."""

NUMBER_LENGTH = 20
"""Characters of the longest number, which is one of 64 bits."""

_KEY = re.compile(rf"[A-Z][A-Za-z0-9.\-+@_]{{0,{KEY_LENGTH - 1}}}")
_DECIMAL = re.compile(r"[0-9]+")
_HEXADECIMAL = re.compile(r"0[xX][0-9a-fA-F]+")
_BASE64 = re.compile(r"0[bB][0-9a-zA-Z+/]+={0,2}")

Pairs = list[tuple[str, str]]


def parse_pairs(data: Buffer, *, keys: int, value_length: int) -> Pairs:
    """The pairs of ``data`` in order; at most ``keys`` of them, values up to ``value_length`` characters.

    Empty strings between zero bytes are passed over: some initiators count padding as data.
    Raises :class:`Malformed`.
    """
    pieces = [piece for piece in bytes(data).split(b"\0") if piece]
    if len(pieces) > keys:
        raise Malformed(f"more than {keys} text keys")
    return [_parse_pair(piece, value_length) for piece in pieces]


def _parse_pair(piece: bytes, value_length: int) -> tuple[str, str]:
    key, equals, value = piece.partition(b"=")
    try:
        name, text = key.decode("ascii"), value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed("a text key that is not UTF-8") from error
    if not equals or not _KEY.fullmatch(name):
        raise Malformed("a text key that is not key=value")
    if len(text) > value_length:
        raise Malformed(f"the value of {name} is too long")
    return name, text


def build_pairs(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> bytes:
    """The data segment that holds ``pairs`` (a mapping, or an iterable where a key may come again)."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return b"".join(f"{key}={value}\0".encode() for key, value in items)


def parse_number(text: str) -> int:
    """A decimal or hexadecimal constant of 64 bits at most (section 6.1); raises ValueError."""
    if len(text) <= NUMBER_LENGTH:
        base = 16 if _HEXADECIMAL.fullmatch(text) else 10 if _DECIMAL.fullmatch(text) else None
        if base and (value := int(text, base)) < 1 << 64:
            return value
    raise ValueError("not a number")


def parse_binary(text: str, *, limit: int) -> bytes:
    """A binary value in hexadecimal (``0x``) or base64 (``0b``) up to ``limit`` bytes; raises ValueError.

    An odd number of hexadecimal digits is a number's: the first byte is one digit.
    """
    if _HEXADECIMAL.fullmatch(text):
        value = bytes.fromhex(text[2:].zfill(len(text[2:]) + len(text) % 2))
    elif _BASE64.fullmatch(text):
        value = _decode_base64(text[2:])
    else:
        raise ValueError("not a binary value")
    if len(value) > limit:
        raise ValueError("a binary value that is too long")
    return value


def _decode_base64(digits: str) -> bytes:
    try:
        return base64.b64decode(digits, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def build_binary(value: bytes) -> str:
    """A binary value in hexadecimal, which every initiator reads."""
    return "0x" + value.hex()
