"""Standard INQUIRY data and vital product data, byte by byte."""

import pytest

from tests.unit.scsi.support import INVALID_FIELD, TARGET, UUID, disk, fault, good, run
from twinlock.scsi.geometry import Geometry
from twinlock.scsi.identity import Identity
from twinlock.scsi.logical_unit import LogicalUnit


def inquiry(page: int | None = None, allocation: int = 0xFFFF) -> bytes:
    return bytes([0x12, page is not None, page or 0, *allocation.to_bytes(2, "big"), 0])


def test_standard_data() -> None:
    data = good(run(disk(), inquiry()))
    assert len(data) == 96 == data[4] + 5
    # SPC-4; HISUP, format 2; 3PC for EXTENDED COPY; one port, no target port groups; CMDQUE
    assert data[:8] == bytes([0x00, 0x00, 0x06, 0x12, 91, 0x08, 0x00, 0x02])
    assert data[8:36] == b"TWINLOCKMirrored volume 0001"
    # SAM-5, iSCSI, SPC-4, SBC-3
    assert data[58:66] == bytes.fromhex("00a0 0960 0460 04c0")
    assert not any(data[36:58])
    assert not any(data[66:])


def test_inquiry_is_answered_before_the_power_on_attention_and_leaves_it_pending() -> None:
    unit = disk(attended=False)
    assert len(good(run(unit, inquiry()))) == 96
    assert fault(run(unit, bytes(6))).code == (6, 0x29, 0)


@pytest.mark.parametrize("allocation", [0, 1, 5, 35, 36, 95, 96, 97, 255, 256, 511, 512])
def test_allocation_length_cuts(allocation: int) -> None:
    unit = disk()
    assert good(run(unit, inquiry(allocation=allocation))) == good(run(unit, inquiry()))[:allocation]


@pytest.mark.parametrize(
    ("cdb", "field"),
    [
        (bytes([0x12, 0, 1, 0, 255, 0]), (2, None)),  # a page code without EVPD
        (bytes([0x12, 1, 0x84, 0, 255, 0]), (2, None)),  # a page that is not there
        (bytes([0x12, 2, 0, 0, 255, 0]), (1, 1)),  # CMDDT
        (bytes([0x12, 0, 0, 0, 255, 4]), (5, 2)),  # NACA
    ],
)
def test_refused(cdb: bytes, field: tuple[int, int | None]) -> None:
    found = fault(run(disk(), cdb))
    assert found.code == INVALID_FIELD
    assert found.field == field


def test_every_supported_page_is_listed_in_order_and_there() -> None:
    unit = disk()
    data = good(run(unit, inquiry(0x00)))
    assert data == bytes([0, 0, 0, 8, 0x00, 0x80, 0x83, 0x86, 0x8F, 0xB0, 0xB1, 0xB2])
    for page in data[4:]:
        body = good(run(unit, inquiry(page)))
        assert body[:2] == bytes([0, page])
        assert int.from_bytes(body[2:4], "big") == len(body) - 4


def test_unit_serial_number() -> None:
    data = good(run(disk(), inquiry(0x80)))
    assert data == bytes([0, 0x80, 0, 32]) + UUID.hex().encode()


def test_device_identification() -> None:
    data = good(run(disk(), inquiry(0x83)))[4:]
    naa, vendor, relative, port, target = _designators(data)
    # (protocol and code set), (PIV, association and type)
    assert naa[:2] == (0x01, 0x03)
    # the first 60 bits of SHA-256 of bytes 0 to 15: be45cb26 05bf36be...
    assert naa[2] == bytes.fromhex("3e45cb2605bf36be")
    assert vendor == (0x02, 0x01, b"TWINLOCK" + UUID.hex().encode())
    assert relative == (0x51, 0x94, bytes([0, 0, 0, 1]))
    assert port[:2] == (0x53, 0x98)
    assert port[2].rstrip(b"\0").decode() == f"{TARGET},t,0x0001"
    assert target[:2] == (0x53, 0xA8)
    assert target[2].rstrip(b"\0").decode() == TARGET
    for name in (port[2], target[2]):
        assert name.endswith(b"\0")
        assert len(name) % 4 == 0


def test_a_unit_without_target_name_names_itself_only() -> None:
    unit = LogicalUnit(Identity.of_array(UUID), Geometry(100))
    assert len(_designators(good(run(unit, inquiry(0x83)))[4:])) == 2


def _designators(data: bytes) -> list[tuple[int, int, bytes]]:
    found = []
    while data:
        end = 4 + data[3]
        found.append((data[0], data[1], data[4:end]))
        data = data[end:]
    return found


def test_extended_inquiry_data() -> None:
    data = good(run(disk(), inquiry(0x86)))
    # simple tasks only, a volatile cache, sense data of at most 64 bytes
    assert data == bytes([0, 0x86, 0, 60, 0, 0x01, 0x01, 0, 0, 0, 0, 0, 0, 64]) + bytes(50)


def test_block_limits() -> None:
    data = good(run(disk(), inquiry(0xB0)))
    assert data[:4] == bytes([0, 0xB0, 0, 60])
    numbers = [int.from_bytes(data[at : at + 4], "big") for at in range(8, 36, 4)]
    # transfer: 8 MiB, optimal 1 MiB; UNMAP: 2^20 blocks, 256 descriptors, 4 KiB, aligned to 0
    assert numbers == [16384, 2048, 0, 1 << 20, 256, 8, 0x80000000]
    assert data[4:8] == bytes([0, 255, 0, 8])  # WSNZ 0; COMPARE AND WRITE of 255 blocks
    assert data[36:44] == (32768).to_bytes(8, "big")  # WRITE SAME: 16 MiB
    assert not any(data[44:])


def test_block_limits_without_discard() -> None:
    data = good(run(disk(Geometry(1000, discard=False)), inquiry(0xB0)))
    assert not any(data[20:36])


def test_block_device_characteristics_claim_nothing() -> None:
    assert good(run(disk(), inquiry(0xB1))) == bytes([0, 0xB1, 0, 60]) + bytes(60)


@pytest.mark.parametrize(("discard", "expected"), [(True, [0, 0xE0, 2, 0]), (False, [0, 0, 0, 0])])
def test_logical_block_provisioning(discard: bool, expected: list[int]) -> None:
    data = good(run(disk(Geometry(1000, discard=discard)), inquiry(0xB2)))
    assert data == bytes([0, 0xB2, 0, 4, *expected])
