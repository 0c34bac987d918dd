"""How a stream reaches the target: whole, byte by byte, or cut anywhere."""

from collections.abc import Callable, Iterator

from tests.fuzz.choices import Choices, table

Cut = Callable[[Choices, bytes], Iterator[bytes]]


def _whole(_choices: Choices, data: bytes) -> Iterator[bytes]:
    yield data


def _bytewise(_choices: Choices, data: bytes) -> Iterator[bytes]:
    """Each of the first bytes by itself; a long tail would say nothing new."""
    for at in range(min(len(data), 400)):
        yield data[at : at + 1]
    if len(data) > 400:
        yield data[400:]


def _anywhere(choices: Choices, data: bytes) -> Iterator[bytes]:
    while data:
        size = choices.pick((1, 47, 48, 49, 52, 96, choices.byte() + 1, choices.number(2) + 1))
        yield data[:size]
        data = data[size:]
        if not choices.left:
            yield data
            return


def _in_header(choices: Choices, data: bytes) -> Iterator[bytes]:
    """In two, near the front."""
    at = choices.below(64)
    yield data[:at]
    yield data[at:]


CUTS: tuple[Cut, ...] = table((8, _whole), (1, _bytewise), (2, _anywhere), (2, _in_header))


def pieces(choices: Choices, data: bytes) -> Iterator[bytes]:
    """``data`` in order, in one or more pieces, none of them empty."""
    return (piece for piece in choices.pick(CUTS)(choices, data) if piece)
