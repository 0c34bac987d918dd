"""Every kind of block device, each made fresh and holding zeros; a new layer adds a line to FACTORIES."""

from collections.abc import Callable
from pathlib import Path

from tests.unit.block.arrays import array
from twinlock.block.checked.device import CheckedDevice
from twinlock.block.checked.header import HEADER_SIZE, TableHeader
from twinlock.block.checked.place import TablePlace
from twinlock.block.crypt import CryptDevice
from twinlock.block.device import BlockDevice
from twinlock.block.faulty import FaultyDevice
from twinlock.block.file import FileDevice
from twinlock.block.memory import MemoryDevice
from twinlock.block.mirror.create import create_array
from twinlock.block.mirror.member import read_member
from twinlock.block.mirror.mirror import Mirror
from twinlock.block.observer import SilentObserver
from twinlock.block.section import Section
from twinlock.native import CipherName, KeyBuffer, SectorCipher
from twinlock.units import MIB

Factory = Callable[[Path], BlockDevice]


def file(folder: Path) -> BlockDevice:
    return FileDevice.open(folder / "member", size=4 * MIB)


def memory(_folder: Path) -> BlockDevice:
    return MemoryDevice(4 * MIB)


def faulty(_folder: Path) -> BlockDevice:
    return FaultyDevice(MemoryDevice(4 * MIB))


def section(_folder: Path) -> BlockDevice:
    return Section(MemoryDevice(8 * MIB), 2 * MIB, 4 * MIB)


def mirror_in_memory(_folder: Path) -> BlockDevice:
    return array().mirror


def mirror_of_files(folder: Path) -> BlockDevice:
    members = [FileDevice.open(folder / name, size=16 * MIB) for name in ("left", "right")]
    uuids = [b"l" * 16, b"r" * 16]
    create_array(members, array_uuid=b"u" * 16, device_uuids=uuids, name="h:n", now=1, assume_clean=True)
    opened = [read_member(member) for member in members]
    return Mirror.assemble(opened, expected_uuid=b"u" * 16, clock=lambda: 1.0, observer=SilentObserver())


def crypt(_folder: Path) -> BlockDevice:
    with KeyBuffer(64) as key:
        key.load(bytes(range(64)))
        cipher = SectorCipher(CipherName.AES_XTS_PLAIN64, key, 512)
    device = CryptDevice(MemoryDevice(4 * MIB), cipher, 2 * MIB, 512, 2 * MIB)
    device.write(0, bytes(device.size))
    return device


def checked(_folder: Path) -> BlockDevice:
    table = MemoryDevice(MIB, 4096)
    place = TablePlace(table, 0, HEADER_SIZE, 1024, own=True)
    return CheckedDevice(MemoryDevice(4 * MIB, 4096), place, TableHeader(covered=4 * MIB), superblock=b"")


FACTORIES: list[Factory] = [checked, crypt, file, memory, faulty, section, mirror_in_memory, mirror_of_files]
