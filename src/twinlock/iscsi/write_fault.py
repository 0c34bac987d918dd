"""What can be wrong with a write's data, and the sense data that say so."""

from enum import Enum

from twinlock.wire.scsi_sense import FixedSense, SenseKey

CHECK_CONDITION = 0x02
"""The SCSI status that comes with sense data (SAM-5, status codes)."""
GOOD = 0x00
"""The SCSI status that may come with the last of the data (RFC 7143 section 11.7.4)."""


class WriteFault(Enum):
    """Additional sense code and qualifier; the sense key is ABORTED COMMAND (RFC 7143 section 11.4.7.2)."""

    UNEXPECTED_UNSOLICITED_DATA = (0x0C, 0x0C)
    INCORRECT_AMOUNT_OF_DATA = (0x0C, 0x0D)
    PROTOCOL_SERVICE_CRC_ERROR = (0x47, 0x05)
    DATA_PHASE_ERROR = (0x4B, 0x00)
    INVALID_TARGET_PORT_TRANSFER_TAG = (0x4B, 0x01)
    DATA_OFFSET_ERROR = (0x4B, 0x05)

    @property
    def sense(self) -> bytes:
        """The fault as fixed format sense data."""
        code, qualifier = self.value
        return FixedSense(
            information_valid=False,
            sense_key=SenseKey.ABORTED_COMMAND,
            information=0,
            code=code,
            qualifier=qualifier,
            sense_key_specific=b"",
        ).build()


class GatheringFailed(Exception):
    """A write's data cannot be gathered; the command ends, the connection goes on."""

    def __init__(self, fault: WriteFault) -> None:
        super().__init__(fault.name)
        self.fault = fault
