"""Reservations on the wire: PERSISTENT RESERVE IN and OUT, TransportIDs, RESERVE and RELEASE.

The service action of a persistent reserve command is no field here: it finds
the command, as an operation code does.
"""

from enum import IntEnum

from twinlock.wire.scsi_cdb import Cdb
from twinlock.wire.structure import Structure, bits, flag, structure, u16, u32, u64


class ReserveIn(IntEnum):
    """SERVICE ACTION of PERSISTENT RESERVE IN."""

    READ_KEYS = 0x00
    READ_RESERVATION = 0x01
    REPORT_CAPABILITIES = 0x02
    READ_FULL_STATUS = 0x03


class ReserveOut(IntEnum):
    """SERVICE ACTION of PERSISTENT RESERVE OUT."""

    REGISTER = 0x00
    RESERVE = 0x01
    RELEASE = 0x02
    CLEAR = 0x03
    PREEMPT = 0x04
    PREEMPT_AND_ABORT = 0x05
    REGISTER_AND_IGNORE_EXISTING_KEY = 0x06
    REGISTER_AND_MOVE = 0x07


class ReservationType(IntEnum):
    """TYPE of a persistent reservation."""

    WRITE_EXCLUSIVE = 0x1
    EXCLUSIVE_ACCESS = 0x3
    WRITE_EXCLUSIVE_REGISTRANTS_ONLY = 0x5
    EXCLUSIVE_ACCESS_REGISTRANTS_ONLY = 0x6
    WRITE_EXCLUSIVE_ALL_REGISTRANTS = 0x7
    EXCLUSIVE_ACCESS_ALL_REGISTRANTS = 0x8


LU_SCOPE = 0x0
"""SCOPE: the whole logical unit; there is no other."""

# -- CDBs -----------------------------------------------------------------------------------------


@structure(size=10, section="SPC-4 PERSISTENT RESERVE IN command")
class PersistentReserveInCdb(Cdb):
    """5Eh."""

    allocation_length: int = u16(7)
    naca: bool = flag(9, 2)


@structure(size=10, section="SPC-4 PERSISTENT RESERVE OUT command")
class PersistentReserveOutCdb(Cdb):
    """5Fh, of the service actions that concern a reservation."""

    scope: int = bits(2, 7, 4)
    type: int = bits(2, 3, 0)
    parameter_list_length: int = u32(5)
    naca: bool = flag(9, 2)


@structure(size=10, section="SPC-4 PERSISTENT RESERVE OUT command")
class PersistentRegisterCdb(Cdb):
    """5Fh, of the service actions that ignore SCOPE and TYPE."""

    parameter_list_length: int = u32(5)
    naca: bool = flag(9, 2)


@structure(size=6, section="SPC-2 RESERVE(6) command, RELEASE(6) command")
class Reserve6Cdb(Cdb):
    """16h, 17h.  EXTENT went with SPC-2; a third party would need a device identifier."""

    third_party: bool = flag(1, 4)
    extent: bool = flag(1, 0)
    naca: bool = flag(5, 2)


@structure(size=10, section="SPC-2 RESERVE(10) command, RELEASE(10) command")
class Reserve10Cdb(Cdb):
    """56h, 57h."""

    third_party: bool = flag(1, 4)
    long_id: bool = flag(1, 1)
    extent: bool = flag(1, 0)
    parameter_list_length: int = u16(7)
    naca: bool = flag(9, 2)


# -- PERSISTENT RESERVE OUT parameter lists -------------------------------------------------------


@structure(size=24, section="SPC-4 PERSISTENT RESERVE OUT parameter list")
class ReserveOutParameters(Structure):
    """With SPEC_I_PT, a length of four bytes and TransportIDs follow."""

    reservation_key: int = u64(0)
    service_action_key: int = u64(8)
    specify_initiator_ports: bool = flag(20, 3)
    all_target_ports: bool = flag(20, 2)
    activate_persist: bool = flag(20, 0)


@structure(size=4, section="SPC-4 PERSISTENT RESERVE OUT specify initiator ports additional parameter data")
class TransportIdsLength(Structure):
    """Bytes of the TransportIDs that follow."""

    length: int = u32(0)


@structure(size=24, section="SPC-4 PERSISTENT RESERVE OUT with REGISTER AND MOVE parameter list")
class MoveParameters(Structure):
    """One TransportID of ``transport_id_length`` bytes follows."""

    reservation_key: int = u64(0)
    service_action_key: int = u64(8)
    unregister: bool = flag(17, 1)
    activate_persist: bool = flag(17, 0)
    relative_target_port: int = u16(18)
    transport_id_length: int = u32(20)


# -- PERSISTENT RESERVE IN parameter data ---------------------------------------------------------


@structure(size=8, section="SPC-4 PERSISTENT RESERVE IN parameter data, all but REPORT CAPABILITIES")
class ReserveInHeader(Structure):
    """The length is that of what follows, however much of it the initiator has room for."""

    generation: int = u32(0)
    additional_length: int = u32(4)


@structure(size=8, section="SPC-4 PERSISTENT RESERVE IN with READ KEYS parameter data")
class ReservationKey(Structure):
    """One key of the list."""

    key: int = u64(0)


@structure(size=16, section="SPC-4 PERSISTENT RESERVE IN with READ RESERVATION parameter data")
class ReservationDescriptor(Structure):
    """The one reservation; the key is 0 for the all registrants types."""

    key: int = u64(0)
    scope: int = bits(13, 7, 4, default=LU_SCOPE)
    type: int = bits(13, 3, 0)


@structure(size=8, section="SPC-4 PERSISTENT RESERVE IN with REPORT CAPABILITIES parameter data")
class Capabilities(Structure):
    """ALLOW COMMANDS 011b: TEST UNIT READY always, and what only reads past the write exclusive types."""

    length: int = u16(0, default=8)
    compatible_handling: bool = flag(2, 4, default=True)
    specify_initiator_ports: bool = flag(2, 3, default=True)
    all_target_ports: bool = flag(2, 2, default=True)
    persist_capable: bool = flag(2, 0)
    type_mask_valid: bool = flag(3, 7, default=True)
    allow_commands: int = bits(3, 6, 4, default=0b011)
    persist_active: bool = flag(3, 0)
    write_exclusive_all_registrants: bool = flag(4, 7, default=True)
    exclusive_access_registrants_only: bool = flag(4, 6, default=True)
    write_exclusive_registrants_only: bool = flag(4, 5, default=True)
    exclusive_access: bool = flag(4, 3, default=True)
    write_exclusive: bool = flag(4, 1, default=True)
    exclusive_access_all_registrants: bool = flag(5, 0, default=True)


@structure(size=24, section="SPC-4 PERSISTENT RESERVE IN full status descriptor")
class FullStatusDescriptor(Structure):
    """One registration; its TransportID follows.  SCOPE and TYPE count with R_HOLDER only."""

    key: int = u64(0)
    all_target_ports: bool = flag(12, 1)
    holder: bool = flag(12, 0)
    scope: int = bits(13, 7, 4, default=LU_SCOPE)
    type: int = bits(13, 3, 0, default=0)
    relative_target_port: int = u16(18)
    additional_length: int = u32(20)


# -- TransportIDs ---------------------------------------------------------------------------------


class TransportIdFormat(IntEnum):
    """FORMAT CODE of an iSCSI TransportID."""

    DEVICE = 0
    PORT = 1


@structure(size=4, section="SPC-4 TransportID for initiator ports using SCSI over iSCSI")
class TransportIdHeader(Structure):
    """A name follows: at least 20 bytes, a multiple of 4, ended by a zero."""

    format_code: int = bits(0, 7, 6)
    protocol: int = bits(0, 3, 0)
    additional_length: int = u16(2)
