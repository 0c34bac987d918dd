"""The compiled part: what must touch every byte, and what must hold a key.

The C side is small and knows nothing of Python; these wrappers check arguments,
own the memory and turn failures into exceptions.
"""

from twinlock.native.cipher import CipherName, SectorCipher
from twinlock.native.key import KeyBuffer
from twinlock.native.process import harden
from twinlock.native.selftest import self_test

__all__ = ["CipherName", "KeyBuffer", "SectorCipher", "harden", "self_test"]
