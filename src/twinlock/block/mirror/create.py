"""Making an array: old signatures wiped, bitmap written, and the superblocks last."""

from collections.abc import Sequence

from twinlock.block.checked.blank import prepare_table, write_table_header
from twinlock.block.checked.header import HEADER_SIZE, TableHeader
from twinlock.block.checked.place import TablePlace
from twinlock.block.device import BlockDevice
from twinlock.block.mirror import layout
from twinlock.block.mirror.bitmap import Bitmap, BitmapHeader
from twinlock.block.mirror.layout import MemberLayout, array_size, member_layout, minimum_member_size
from twinlock.block.mirror.stamp import stamp
from twinlock.block.mirror.superblock import ACTIVE, CLEAN, ROLE_SPARE, Feature, Superblock, SuperblockHeader
from twinlock.errors import MemberTooSmall
from twinlock.units import MIB, SECTOR, format_size

FIRST_EVENT = 1
_ROLES = 128
"""Device numbers in a new superblock: it fills 512 bytes, as mdadm's does, and is written in one sector."""


def create_array(
    members: Sequence[BlockDevice],
    *,
    array_uuid: bytes,
    device_uuids: Sequence[bytes],
    name: str,
    now: int,
    assume_clean: bool,
) -> None:
    """Make ``members`` a mirror; what they held is lost.

    ``name`` is ``host:name`` in up to 32 bytes, ``now`` seconds since 1970.  With ``assume_clean`` the
    members are taken to agree, else the first build copies.  Metadata areas of files are allocated.
    A crash leaves either no superblock or the whole array on each member.  Raises MemberTooSmall before
    anything is written, and DeviceError.
    """
    if len(members) != len(device_uuids) or not members:
        raise ValueError("each member has a UUID of its own")
    places = [_place(device) for device in members]
    size = array_size(device.size for device in members)
    resync_offset = CLEAN if assume_clean else ACTIVE
    bitmap = _bitmap(array_uuid, size, marked=not assume_clean)
    common = SuperblockHeader(
        feature_map=Feature.BITMAP_OFFSET,
        set_uuid=array_uuid,
        set_name=name.encode()[:32],
        ctime=now,
        utime=stamp(now),
        size=size // SECTOR,
        raid_disks=len(members),
        bitmap_offset=(layout.BITMAP_OFFSET - layout.SUPERBLOCK_OFFSET) // SECTOR,
        super_offset=layout.SUPERBLOCK_OFFSET // SECTOR,
        events=FIRST_EVENT,
        resync_offset=resync_offset,
    )
    for device, place in zip(members, places, strict=True):
        _prepare(device, place, bitmap)
    roles = tuple(range(len(members))) + (ROLE_SPARE,) * (_ROLES - len(members))
    for number, (device, place) in enumerate(zip(members, places, strict=True)):
        header = common.replace(
            dev_number=number,
            device_uuid=device_uuids[number],
            data_offset=place.data_offset // SECTOR,
            data_size=place.data_size // SECTOR,
        )
        superblock = Superblock(header, roles).build()
        write_table_header(table_place(device, place), _table_header(header, place), superblock)
        device.write(layout.SUPERBLOCK_OFFSET, superblock)
        device.flush()


def table_place(device: BlockDevice, place: MemberLayout) -> TablePlace:
    """Where the checksum table of a new member lies."""
    header = place.data_offset - HEADER_SIZE
    return TablePlace(device, header, place.table_offset, (header - place.table_offset) // layout.TABLE_ENTRY)


def _table_header(header: SuperblockHeader, place: MemberLayout) -> TableHeader:
    """Of a table that is all zeros: it covers all of the data, and nothing is known of any."""
    return TableHeader(
        array_uuid=header.set_uuid,
        device_uuid=header.device_uuid,
        data_offset=place.data_offset,
        covered=place.data_size,
    )


def _place(device: BlockDevice) -> MemberLayout:
    place = member_layout(device.size)
    if place.data_size < layout.MINIMUM_DATA:
        needed = format_size(minimum_member_size())
        raise MemberTooSmall(
            path=getattr(device, "path", "a member"), size=format_size(device.size), needed=needed
        )
    return place


def _bitmap(array_uuid: bytes, size: int, *, marked: bool) -> Bitmap:
    header = BitmapHeader(
        uuid=array_uuid,
        events=FIRST_EVENT,
        events_cleared=FIRST_EVENT,
        sync_size=size // SECTOR,
        chunksize=layout.bitmap_chunk(size),
        sectors_reserved=layout.BITMAP_ROOM // SECTOR,
    )
    bitmap = Bitmap(header)
    if marked:
        bitmap.mark(range(bitmap.chunks))
    return bitmap


def _prepare(device: BlockDevice, place: MemberLayout, bitmap: Bitmap) -> None:
    """Everything but the superblock, on the medium."""
    prepare_table(table_place(device, place), place.data_size)
    device.allocate(0, place.table_end)
    for start, end in _to_wipe(device.size, place):
        for offset in range(start, end, MIB):
            device.write(offset, bytes(min(MIB, end - offset)))
    device.flush()  # an old superblock is gone before anything of the new array is there
    for number in bitmap.pages:
        device.write(layout.BITMAP_OFFSET + number * layout.BLOCK, bitmap.page(number))
    device.flush()


def _to_wipe(size: int, place: MemberLayout) -> tuple[tuple[int, int], ...]:
    """Where signatures lie: the beginning with md's areas, the end, and a checksum table's header."""
    block = layout.BLOCK
    return (
        (0, layout.BITMAP_OFFSET + layout.BITMAP_ROOM + layout.SIGNATURE_AREA),
        (place.data_offset - HEADER_SIZE, place.data_offset),
        ((size - layout.SIGNATURE_AREA) // block * block, size),
    )
