"""CDBs of the commands that ask after a unit's state, or change it, and move no blocks."""

from twinlock.wire.scsi_cdb import Cdb
from twinlock.wire.structure import bits, flag, structure, u8, u16, u32


@structure(size=6, section="SPC-4 MODE SELECT(6) command")
class ModeSelect6Cdb(Cdb):
    """15h."""

    page_format: bool = flag(1, 4)
    save_pages: bool = flag(1, 0)
    parameter_list_length: int = u8(4)
    naca: bool = flag(5, 2)


@structure(size=10, section="SPC-4 MODE SELECT(10) command")
class ModeSelect10Cdb(Cdb):
    """55h."""

    page_format: bool = flag(1, 4)
    save_pages: bool = flag(1, 0)
    parameter_list_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=10, section="SPC-4 LOG SENSE command")
class LogSenseCdb(Cdb):
    """4Dh.  PC is not looked at: the values of the pages here do not come in kinds."""

    save_parameters: bool = flag(1, 0)
    page_code: int = bits(2, 5, 0)
    subpage_code: int = u8(3)
    parameter_pointer: int = u16(5)
    allocation_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=12, section="SPC-4 REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS command")
class ReportTaskManagementCdb(Cdb):
    """A3h/0Dh."""

    return_extended: bool = flag(2, 7)
    allocation_length: int = u32(6)
    naca: bool = flag(11, 2)


@structure(size=10, section="SBC-3 READ DEFECT DATA (10) command")
class ReadDefectData10Cdb(Cdb):
    """37h."""

    primary_list: bool = flag(2, 4)
    grown_list: bool = flag(2, 3)
    format: int = bits(2, 2, 0)
    allocation_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=12, section="SBC-3 READ DEFECT DATA (12) command")
class ReadDefectData12Cdb(Cdb):
    """B7h.  The address descriptor index counts in an empty list, and is not looked at."""

    primary_list: bool = flag(1, 4)
    grown_list: bool = flag(1, 3)
    format: int = bits(1, 2, 0)
    allocation_length: int = u32(6)
    naca: bool = flag(11, 2)
