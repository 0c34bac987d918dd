"""A string of bytes as a series of choices; where it ends, every choice is the first option."""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
INTERESTING = (0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 511, 512, 4096, 65535, 65536)


class Choices:
    """Reads the bytes from the front; shorter and smaller bytes are simpler inputs."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether anything is still to be chosen."""
        return self._at < len(self._data)

    def byte(self) -> int:
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, bound: int) -> int:
        """0 to ``bound`` - 1."""
        if bound <= 1:
            return 0
        value, width = self.byte(), 256
        while width < bound:
            value, width = value << 8 | self.byte(), width << 8
        return value % bound

    def chance(self, percent: int) -> bool:
        """True in about ``percent`` of 100; never once the input has ended."""
        return self.byte() * 100 // 256 >= 100 - percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def bytes(self, length: int) -> bytes:
        """``length`` bytes: the input's own as far as they are few, else one of them over and over."""
        if length <= 16:
            return bytes(self.byte() for _ in range(length))
        return bytes([self.byte()]) * length

    def number(self, size: int) -> int:
        """A number of ``size`` bytes: mostly one at an edge."""
        mask = (1 << 8 * size) - 1
        kind = self.byte()
        if kind < 160:
            return INTERESTING[kind % len(INTERESTING)] & mask
        if kind < 208:
            return mask - INTERESTING[kind % len(INTERESTING)] & mask
        return int.from_bytes(self.bytes(size), "big")


def table(*rows: tuple[int, T]) -> tuple[T, ...]:
    """Options to :meth:`Choices.pick` from, each as often as its weight says."""
    return tuple(option for weight, option in rows for _ in range(weight))


def drawn(seed: str, longest: int = 1500) -> bytes:
    """An input as a seed has it: the same one on every machine."""
    source = random.Random(seed)
    return source.randbytes(source.randrange(20, longest))
