"""Known answers, checked before a worker touches data: a wrong cipher would ruin every sector it writes.

The keys are those of IEEE Std 1619-2007 (digits of e and pi), the plaintext is the
bytes 00 to ff over and over, and an answer is the SHA-256 of the ciphertext.  The
first answer is the standard's test vector 10; the unit tests derive the others from
published vectors and from implementations that share no code with this one.
"""

import hashlib
from dataclasses import dataclass

from twinlock.errors import SelfTestFailed
from twinlock.native._native import lib
from twinlock.native.checksum import BLOCK, entries_of, first_wrong
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


CHECKSUMS: tuple[tuple[bytes, int], ...] = (
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (
        bytes.fromhex(
            "01c00000 00000000 00000000 00000000 14000000 00000400"
            "00000014 00000018 28000000 00000000 02000000 00000000"
        ),
        0xD9963A56,
    ),
)
"""CRC32C, RFC 3720 section B.4: 32 bytes of zeros, of ones, going up, going down, and a READ (10) PDU."""


def self_test(answers: tuple[KnownAnswer, ...] = KNOWN_ANSWERS) -> None:
    """Compute every known answer and back; raises :class:`SelfTestFailed` at the first that differs."""
    check_checksums()
    for answer in answers:
        with KeyBuffer(answer.key_size) as key:
            key.load(KEY[: answer.key_size])
            cipher = _cipher(answer, key)
        _check(answer, cipher)
        cipher.close()


def check_checksums(known: tuple[tuple[bytes, int], ...] = CHECKSUMS) -> None:
    """The published values come out, whichever way they are computed; raises SelfTestFailed."""
    block = bytes(range(256)) * (BLOCK // 256)
    for way in {lib.TL_CRC_TABLES, lib.tl_crc_best()}:
        for data, value in known:
            if entries_of(data, way=way) != value.to_bytes(4, "little"):
                raise SelfTestFailed(reason="CRC32C is computed wrongly")
        entries = bytearray(entries_of(block, way=lib.TL_CRC_TABLES))
        if first_wrong(block, entries, way=way) is not None:
            raise SelfTestFailed(reason="CRC32C of a block is computed wrongly")


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
