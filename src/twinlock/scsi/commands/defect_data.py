"""READ DEFECT DATA (10) and (12): the defect lists, which are empty.

The members remap their own bad blocks and tell nobody; a block that cannot be
read on one is rewritten from the other.
"""

from typing import Any

from twinlock.scsi.command import Call, Command, Opcode
from twinlock.scsi.operations import Result
from twinlock.scsi.reservations.access import Access
from twinlock.scsi.sense import invalid_field
from twinlock.scsi.transfer import reply
from twinlock.scsi.unit import Disk
from twinlock.wire.scsi_cdb_state import ReadDefectData10Cdb, ReadDefectData12Cdb
from twinlock.wire.scsi_data import DefectList10, DefectList12

_LAST_FORMAT = 0b101
"""Physical sector format; the two behind it are vendor specific and reserved."""


def read_defect_data(call: Call[Disk], cdb: ReadDefectData10Cdb | ReadDefectData12Cdb) -> Result:
    """An empty list, in the format and of the kinds asked for."""
    if cdb.format > _LAST_FORMAT:
        raise invalid_field(cdb, "format")
    header = DefectList10 if isinstance(cdb, ReadDefectData10Cdb) else DefectList12
    data = header(primary_list=cdb.primary_list, grown_list=cdb.grown_list, format=cdb.format)
    return reply(data.build(), cdb.allocation_length)


COMMANDS: tuple[Command[Any, Any], ...] = (
    Command(
        "READ DEFECT DATA (10)",
        Opcode.READ_DEFECT_DATA_10,
        ReadDefectData10Cdb,
        read_defect_data,
        access=Access.READ,
    ),
    Command(
        "READ DEFECT DATA (12)",
        Opcode.READ_DEFECT_DATA_12,
        ReadDefectData12Cdb,
        read_defect_data,
        access=Access.READ,
    ),
)
