"""What a device's failure becomes on the wire, and sense data in both formats."""

import pytest

from tests.unit.scsi.support import UUID, B, disk, fault
from twinlock.errors import DeviceError, DeviceGone, MediumError, SpaceExhausted, WriteFailed
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import SENSE_OF_ERROR, LogicalUnit
from twinlock.scsi.operations import Discard, Flush, Operation, Read, Verify, Write
from twinlock.scsi.sense import Sense
from twinlock.wire.scsi_sense import FieldPointer, SenseCode

READ = Read(1024, 2048)
WRITE = Write(1024, bytes(2048), wanted=4096)
DISCARD = Discard(((8192, 512), (1024, 512)), 40)


class Peculiar(MediumError):
    """A kind that the table does not know, of one that it does."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MediumError("bad"), (3, 0x11, 0)),
        (WriteFailed("bad"), (3, 0x0C, 0)),
        (SpaceExhausted("full"), (7, 0x27, 7)),
        (DeviceGone("gone"), (4, 0x44, 0)),
        (DeviceError("b"), (4, 0x44, 0)),
        (Peculiar("bad"), (3, 0x11, 0)),
    ],
)
@pytest.mark.parametrize(
    ("operation", "wanted"), [(READ, 0), (WRITE, 4096), (Flush(), 0), (DISCARD, 40), (Verify(0, 512), 0)]
)
def test_kinds(error: DeviceError, code: tuple[int, int, int], operation: Operation, wanted: int) -> None:
    result = disk().fail(operation, error)
    assert fault(result).code == code
    assert result.transfer_wanted == wanted


def test_every_kind_of_the_error_tree_is_in_the_table() -> None:
    kinds = {each for each in DeviceError.__subclasses__() if each.__module__ == DeviceError.__module__}
    assert kinds | {DeviceError} == set(SENSE_OF_ERROR)


@pytest.mark.parametrize(
    ("operation", "offset", "block"),
    [
        (READ, None, 2),
        (READ, 1024, 2),
        (READ, 1535, 2),
        (READ, 3071, 5),
        (READ, 3072, 2),  # not of this operation: a lower layer counts from elsewhere
        (WRITE, 2048, 4),
        (DISCARD, None, 16),
        (DISCARD, 1024, 2),
        (Flush(), None, None),
        (Flush(), 512, None),
    ],
)
def test_information_is_the_block(operation: Operation, offset: int | None, block: int | None) -> None:
    assert fault(disk().fail(operation, MediumError("bad", offset=offset))).information == block


def test_a_block_beyond_32_bits_fits_into_descriptor_format_only() -> None:
    offset, error = (1 << 33) * 512, MediumError("bad")
    assert fault(disk(Geometry(1 << 34)).fail(Read(offset, 512), error)).information is None
    unit = LogicalUnit(Identity.of_array(UUID), Geometry(1 << 34), descriptor_sense=True)
    assert fault(unit.fail(Read(offset, 512), error)).information == 1 << 33


def test_fixed_format() -> None:
    sense = Sense(SenseCode.UNRECOVERED_READ_ERROR, information=0x01020304)
    assert sense.build() == bytes.fromhex("f0 00 03 01020304 0a 00000000 11 00 00 000000")
    pointer = FieldPointer(byte=2, bit_valid=True, bit=5)
    assert Sense(SenseCode.INVALID_FIELD_IN_CDB, field=pointer).build() == bytes.fromhex(
        "70 00 05 00000000 0a 00000000 24 00 00 cd0002"
    )


def test_descriptor_format() -> None:
    sense = Sense(SenseCode.UNRECOVERED_READ_ERROR, 0x0102030405, FieldPointer(byte=7))
    assert sense.build(descriptor=True) == bytes.fromhex(
        "72 03 11 00 000000 1400 0a 80 00 000000010203040502 06 0000 c00007 00"
    )


def test_the_control_page_and_the_errors_agree_on_the_format() -> None:
    unit = LogicalUnit(Identity.of_array(UUID), Geometry(100), descriptor_sense=True)
    refused = unit.start(B, b"\xff" * 16)
    assert fault(refused).code == (6, 0x29, 0)
    data = unit.start(B, bytes([0x1A, 8, 0x0A, 0, 255, 0]))
    assert bytes(getattr(data, "data_in"))[6] == 0x06  # noqa: B009 - D_SENSE and GLTSD
