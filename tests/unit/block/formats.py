"""Arrays as mdadm makes them, of any version of metadata.

What mdadm says of the members is compared in ``mirror/test_mdadm.py``; that a kernel takes them is a
matter of ``tests/vm``, where stock mdadm makes them.
"""

from collections.abc import Callable, Sequence

from twinlock.block.device import BlockDevice
from twinlock.block.mirror.bitmap import Bitmap, BitmapHeader
from twinlock.block.mirror.member import Member
from twinlock.block.mirror.metadata.base import Metadata
from twinlock.block.mirror.metadata.version0 import Version0, place
from twinlock.block.mirror.metadata.version1 import VERSION_1_1, VERSION_1_2, version_1_0
from twinlock.block.mirror.superblock import ACTIVE, CLEAN, ROLE_SPARE, Feature, Superblock, SuperblockHeader
from twinlock.block.section import Section
from twinlock.units import MIB, SECTOR

VERSIONS = ("1.2", "1.1", "1.0", "0.90")
NEGATIVE = 1 << 32
UUID = bytes(range(16))


def metadata(version: str, size: int) -> Metadata:
    kinds: dict[str, Callable[[], Metadata]] = {
        "1.2": lambda: VERSION_1_2,
        "1.1": lambda: VERSION_1_1,
        "1.0": lambda: version_1_0(size),
        "0.90": lambda: Version0("0.90", place(size), bytes(4096), "made"),
    }
    return kinds[version]()


def geometry(version: str, kind: Metadata, size: int) -> dict[str, int]:
    """Where mdadm puts things, in sectors; 1.2 and 1.1 with 1 MiB before the data."""
    if version == "0.90":
        return {"bitmap_offset": 8, "data_offset": 0, "data_size": kind.offset // SECTOR}
    if version == "1.0":
        return {
            "bitmap_offset": NEGATIVE - 16,
            "data_offset": 0,
            "data_size": kind.offset // SECTOR - 16,
            "bblog_offset": NEGATIVE - 8,
            "bblog_size": 8,
        }
    return {
        "bitmap_offset": 8,
        "data_offset": 2048,
        "data_size": size // SECTOR - 2048,
        "bblog_offset": 16,
        "bblog_size": 8,
    }


def make_array(
    version: str,
    devices: Sequence[BlockDevice],
    *,
    now: int = 1_790_000_000,
    clean: bool = True,
    bitmap: bool = True,
    chunk: int = 4 * MIB,
    **fields: int,
) -> None:
    """Write superblocks and bitmaps; ``fields`` go to every superblock."""
    kinds = [metadata(version, device.size) for device in devices]
    places = [geometry(version, kind, device.size) for kind, device in zip(kinds, devices, strict=True)]
    common = SuperblockHeader(
        feature_map=int(Feature.BITMAP_OFFSET) if bitmap else 0,
        set_uuid=UUID,
        set_name=b"host:backup",
        ctime=now,
        utime=now,
        size=min(place["data_size"] for place in places) // 8 * 8,
        raid_disks=len(devices),
        events=17,
        resync_offset=CLEAN if clean else ACTIVE,
    )
    count = 27 if version == "0.90" else 128
    roles = (*range(len(devices)), *[ROLE_SPARE] * (count - len(devices)))
    for number, (device, kind) in enumerate(zip(devices, kinds, strict=True)):
        header = common.replace(
            dev_number=number,
            device_uuid=bytes([0x40 + number]) * 16,
            super_offset=kind.offset // SECTOR,
            **(places[number] | ({} if bitmap else {"bitmap_offset": 0}) | fields),
        )
        superblock = Superblock(header, roles)
        data = Section(device, header.data_offset * SECTOR, header.size * SECTOR)
        member = Member(device, "made", superblock, None, data, metadata=kind)
        if bitmap:
            _write_bitmap(member, chunk, marked=not clean)
        member.store_superblock(superblock)


def _write_bitmap(member: Member, chunk: int, *, marked: bool) -> None:
    header = member.superblock.header
    bitmap = Bitmap(
        BitmapHeader(uuid=UUID, events=17, events_cleared=17, sync_size=header.size, chunksize=chunk)
    )
    if marked:
        bitmap.mark(range(bitmap.chunks))
    for number in bitmap.pages:
        member.store_page(bitmap, number)
