"""Known answers, checked before a worker touches data: a wrong cipher would ruin every sector it writes.

The keys are those of IEEE Std 1619-2007 (digits of e and pi), the plaintext is the
bytes 00 to ff over and over, and an answer is the SHA-256 of the ciphertext.  The
first answer is the standard's test vector 10; the unit tests derive the others from
published vectors and from implementations that share no code with this one.
"""

import hashlib
from dataclasses import dataclass

from twinlock.errors import SelfTestFailed
from twinlock.native.cipher import CipherName, SectorCipher
from twinlock.native.key import KeyBuffer

KEY = bytes.fromhex(
    "2718281828459045235360287471352662497757247093699959574966967627"
    "3141592653589793238462643383279502884197169399375105820974944592"
)


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """``length`` bytes from ``sector512`` on, under the first ``key_size`` bytes of :data:`KEY`."""

    name: CipherName
    key_size: int
    sector_size: int
    sector512: int
    length: int
    digest: str

    @property
    def plaintext(self) -> bytes:
        """The bytes 00 to ff, over and over."""
        return bytes(range(256)) * (self.length // 256)


_XTS, _ESSIV = CipherName.AES_XTS_PLAIN64, CipherName.AES_CBC_ESSIV_SHA256
KNOWN_ANSWERS = (
    KnownAnswer(_XTS, 64, 512, 255, 512, "e97e974fa393af794f7a4684395814cf820de60a01eaec677d87b452e316b364"),
    KnownAnswer(
        _XTS, 64, 4096, 248, 8192, "f00c75c3ee0a15756c7944cdef7d1f9375d6d11e067e40d735a0cb074da5e8d0"
    ),
    KnownAnswer(_XTS, 32, 512, 255, 8192, "ad5dedad36ccc00251d160ccafa855d6b66a4f661001e8844714b8702a51fed8"),
    KnownAnswer(
        _XTS, 32, 4096, 248, 8192, "34bd248f942715149e58657a3e8f6f381040553d120e55e49d12e1436a0cdb06"
    ),
    KnownAnswer(
        _ESSIV, 32, 512, 255, 8192, "e97f4c3878765c9236991d9f6e50716459e89a0143a8454df1c06479a0129638"
    ),
    KnownAnswer(
        _ESSIV, 32, 4096, 248, 8192, "c2e1b02380031df25b49b7922622aa56fc4274c2effb35eb528e6209a1a78c7a"
    ),
    KnownAnswer(
        _ESSIV, 16, 512, 255, 8192, "265eb98a585237b8c365507c1dd4d6d55185d3253871648f485470e3ebfd2ec9"
    ),
    KnownAnswer(
        _ESSIV, 16, 4096, 248, 8192, "12d9515aded0125d80f1cac845d9ae14bd2406ee0ea59486169f102f3de0c839"
    ),
)


def self_test(answers: tuple[KnownAnswer, ...] = KNOWN_ANSWERS) -> None:
    """Compute every known answer and back; raises :class:`SelfTestFailed` at the first that differs."""
    for answer in answers:
        with KeyBuffer(answer.key_size) as key:
            key.load(KEY[: answer.key_size])
            cipher = _cipher(answer, key)
        _check(answer, cipher)
        cipher.close()


def _cipher(answer: KnownAnswer, key: KeyBuffer) -> SectorCipher:
    try:
        return SectorCipher(answer.name, key, answer.sector_size)
    except RuntimeError as error:  # an OpenSSL that was configured to refuse the algorithm
        raise SelfTestFailed(reason=str(error)) from error


def _check(answer: KnownAnswer, cipher: SectorCipher) -> None:
    what = f"{answer.name} with a key of {8 * answer.key_size} bits and sectors of {answer.sector_size} bytes"
    ciphertext = cipher.encrypt(answer.plaintext, answer.sector512)
    if hashlib.sha256(ciphertext).hexdigest() != answer.digest:
        raise SelfTestFailed(reason=f"{what} encrypts wrongly")
    if cipher.decrypt(ciphertext, answer.sector512) != answer.plaintext:
        raise SelfTestFailed(reason=f"{what} decrypts wrongly")
