"""The encrypted payload as a device: where it lies, what passes through, what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.recording_device import RecordingDevice
from twinlock.block.crypt import CryptDevice
from twinlock.errors import DeviceGone, MediumError
from twinlock.native import KeyBuffer, SectorCipher

START, SIZE = 8192, 65536


def make(sector_size: int = 512, lower: RecordingDevice | None = None) -> tuple[CryptDevice, RecordingDevice]:
    lower = lower or RecordingDevice(START + SIZE + 4096)
    with KeyBuffer(64) as key:
        key.load(bytes(range(64)))
        cipher = SectorCipher("aes-xts-plain64", key, sector_size)
    return CryptDevice(lower, cipher, START, sector_size, SIZE), lower


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_size_and_block_size_are_the_payloads(sector_size: int) -> None:
    device, _ = make(sector_size)
    assert (device.size, device.block_size) == (SIZE, sector_size)


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_sectors_count_from_the_payload(sector_size: int) -> None:
    """Written at 12288 of the payload, so under initialisation vector 24, and to 12288 behind its start."""
    device, lower = make(sector_size)
    device.write(12288, b"x" * 8192)
    with KeyBuffer(64) as key:
        key.load(bytes(range(64)))
        expected = SectorCipher("aes-xts-plain64", key, sector_size).encrypt(b"x" * 8192, 24)
    assert lower.data[START + 12288 : START + 20480] == expected
    assert device.read(12288, 8192) == b"x" * 8192
    assert not any(lower.data[: START + 12288])
    assert not any(lower.data[START + 20480 :])


@given(st.data())
def test_behaves_as_plain_memory(data: st.DataObject) -> None:
    sector_size = data.draw(st.sampled_from([512, 1024, 2048, 4096]))
    device, lower = make(sector_size)
    model = bytearray(SIZE)
    device.write(0, model)
    for _ in range(data.draw(st.integers(1, 8))):
        first, last = sorted(data.draw(st.integers(0, SIZE // sector_size)) for _ in range(2))
        offset, length = first * sector_size, (last - first) * sector_size
        content = data.draw(st.binary(min_size=16, max_size=16)) * (length // 16)
        device.write(offset, content)
        model[offset : offset + length] = content
        assert device.read(offset, length) == content
    assert device.read(0, SIZE) == model
    assert not any(lower.data[:START])
    assert not any(lower.data[START + SIZE :])


def test_caller_keeps_its_data() -> None:
    device, _ = make()
    content = bytearray(b"x" * 512)
    device.write(0, content)
    assert content == b"x" * 512


def test_read_nowait_passes_through() -> None:
    device, lower = make()
    device.write(512, b"x" * 512)
    assert device.read_nowait(512, 512) == b"x" * 512
    lower.would_wait = True
    assert device.read_nowait(512, 512) is None


def test_flush_discard_and_close_pass_through() -> None:
    device, lower = make()
    device.discard(4096, 8192)
    device.flush()
    device.close()
    assert lower.calls == [("discard", START + 4096, 8192), ("flush",), ("close",)]


def test_errors_name_the_place_in_the_payload() -> None:
    class Broken(RecordingDevice):
        def read(self, offset: int, length: int) -> bytes:
            raise MediumError("scratched", offset=offset + 512)

    device, _ = make(lower=Broken(START + SIZE))
    with pytest.raises(MediumError) as caught:
        device.read(1024, 1024)
    assert caught.value.offset == 1536


def test_closed_device_decrypts_nothing() -> None:
    device, _ = make()
    device.close()
    with pytest.raises((ValueError, DeviceGone)):
        device.read(0, 512)


@pytest.mark.parametrize(
    ("offset", "length"), [(SIZE, 512), (-512, 512), (0, SIZE + 512), (1, 512), (0, 511)]
)
def test_ranges_outside_or_askew(offset: int, length: int) -> None:
    device, lower = make()
    for access in (device.read, device.read_nowait, device.discard):
        with pytest.raises(ValueError, match="bytes"):
            access(offset, length)
    with pytest.raises(ValueError, match="bytes"):
        device.write(offset, bytes(length))
    assert lower.calls == []


def test_payload_must_fit_below() -> None:
    with pytest.raises(ValueError, match="ends beyond"):
        make(lower=RecordingDevice(START + SIZE - 512))
    with pytest.raises(ValueError, match="do not fit"):
        make(512, RecordingDevice(START + SIZE, block_size=4096))
