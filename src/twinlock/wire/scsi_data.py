"""Parameter data of single commands, in and out (SPC-4, SBC-3)."""

from twinlock.wire.structure import Structure, bits, flag, structure, u8, u16, u32, u64


@structure(size=8, section="SBC-3 READ CAPACITY (10) parameter data")
class Capacity10(Structure):
    """FFFFFFFFh: ask with READ CAPACITY (16)."""

    last_logical_block_address: int = u32(0)
    block_length: int = u32(4)


@structure(size=32, section="SBC-3 READ CAPACITY (16) parameter data")
class Capacity16(Structure):
    """``physical_block_exponent``: 2 to this power logical blocks make a physical one, from LBA 0 on."""

    last_logical_block_address: int = u64(0)
    block_length: int = u32(8)
    physical_block_exponent: int = bits(13, 3, 0)
    provisioning_enabled: bool = flag(14, 7)
    reads_zeros: bool = flag(14, 6, default=False)


@structure(size=8, section="SPC-4 REPORT LUNS parameter data")
class LunListHeader(Structure):
    """LUNs of eight bytes follow; the length is theirs, in bytes."""

    lun_list_length: int = u32(0)


@structure(size=4, section="SPC-4 All_commands parameter data")
class AllCommandsHeader(Structure):
    """Command descriptors follow; the length is theirs, in bytes."""

    command_data_length: int = u32(0)


@structure(size=8, section="SPC-4 Command descriptor")
class CommandDescriptor(Structure):
    """One command that is served."""

    opcode: int = u8(0)
    service_action: int = u16(2)
    timeouts_follow: bool = flag(5, 1)
    service_action_valid: bool = flag(5, 0)
    cdb_length: int = u16(6)


@structure(size=12, section="SPC-4 Command timeouts descriptor")
class CommandTimeouts(Structure):
    """Zeros: no timeout is indicated."""

    descriptor_length: int = u16(0, default=0x0A)


@structure(size=4, section="SPC-4 One_command parameter data")
class OneCommandHeader(Structure):
    """CDB USAGE DATA of ``cdb_size`` bytes follows."""

    timeouts_follow: bool = flag(1, 7, default=False)
    support: int = bits(1, 2, 0)
    cdb_size: int = u16(2, default=0)


@structure(size=8, section="SBC-3 GET LBA STATUS parameter data")
class LbaStatusHeader(Structure):
    """LBA status descriptors follow; the length counts what follows it."""

    parameter_data_length: int = u32(0)


@structure(size=16, section="SBC-3 LBA status descriptor")
class LbaStatusDescriptor(Structure):
    """PROVISIONING STATUS: mapped (0) or deallocated (1)."""

    logical_block_address: int = u64(0)
    number_of_blocks: int = u32(8)
    deallocated: bool = flag(12, 0)


@structure(size=8, section="SBC-3 UNMAP parameter list")
class UnmapHeader(Structure):
    """UNMAP DATA LENGTH counts what follows it; the other length is that of the descriptors, in bytes."""

    data_length: int = u16(0)
    descriptor_data_length: int = u16(2)


@structure(size=16, section="SBC-3 UNMAP block descriptor")
class UnmapDescriptor(Structure):
    """One range to unmap."""

    logical_block_address: int = u64(0)
    number_of_blocks: int = u32(8)


@structure(size=4, section="SBC-3 READ DEFECT DATA (10) parameter data")
class DefectList10(Structure):
    """An empty list of either kind."""

    primary_list: bool = flag(1, 4)
    grown_list: bool = flag(1, 3)
    format: int = bits(1, 2, 0)
    defect_list_length: int = u16(2, default=0)


@structure(size=8, section="SBC-3 READ DEFECT DATA (12) parameter data")
class DefectList12(Structure):
    """An empty list of either kind."""

    primary_list: bool = flag(1, 4)
    grown_list: bool = flag(1, 3)
    format: int = bits(1, 2, 0)
    generation_code: int = u16(2, default=0)
    defect_list_length: int = u32(4, default=0)


@structure(size=4, section="SPC-4 REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS basic parameter data")
class TaskManagementFunctions(Structure):
    """The defaults are what RFC 7143 section 11.5.1 has and the server carries out."""

    abort_task: bool = flag(0, 7, default=True)
    abort_task_set: bool = flag(0, 6, default=True)
    clear_aca: bool = flag(0, 5, default=False)
    clear_task_set: bool = flag(0, 4, default=True)
    logical_unit_reset: bool = flag(0, 3, default=True)
    query_task: bool = flag(0, 2, default=False)
    target_reset: bool = flag(0, 1, default=True)
    query_asynchronous_event: bool = flag(1, 2, default=False)
    query_task_set: bool = flag(1, 1, default=False)
    i_t_nexus_reset: bool = flag(1, 0, default=False)
    additional_length: int = u8(3)


@structure(size=12, section="SPC-4 REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS extended parameter data")
class TaskManagementTimeouts(Structure):
    """What REPD adds.  TMFTMOV 0: no timeout is indicated."""

    timeouts_valid: bool = flag(0, 0, default=False)
    long_timeout: int = u32(4, default=0)
    short_timeout: int = u32(8, default=0)
