import pytest

from tests.unit.block.arrays import Keeper
from twinlock.block.faulty import FaultyDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.section import Section
from twinlock.errors import DeviceGone, MediumError, WriteFailed
from twinlock.units import MIB


def test_offsets_in_errors_are_the_sections_own() -> None:
    lower = FaultyDevice(MemoryDevice(4 * MIB))
    section = Section(lower, MIB, MIB)
    lower.break_reads(MIB + 1024, 512)
    with pytest.raises(MediumError) as caught:
        section.read(0, 4096)
    assert caught.value.offset == 1024
    lower.break_writes(MIB + 512, 512)
    for write in (section.write, section.write_durable):
        with pytest.raises(WriteFailed) as failed:
            write(0, bytes(4096))
        assert failed.value.offset == 512
    lower.vanish()
    with pytest.raises(DeviceGone):
        section.discard(0, 512)


def test_a_section_punches_holes_if_its_device_does() -> None:
    assert Section(MemoryDevice(MIB), 0, 512).punches_holes
    assert not Section(Keeper(MIB), 0, 512).punches_holes


def test_closing_leaves_the_lower_device_open() -> None:
    lower = MemoryDevice(MIB)
    Section(lower, 0, 512).close()
    assert bytes(lower.read(0, 512)) == bytes(512)


def test_a_section_lies_inside_its_device() -> None:
    with pytest.raises(ValueError, match="outside"):
        Section(MemoryDevice(MIB), 512, MIB)
