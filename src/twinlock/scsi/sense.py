"""Builds sense data, and carries a refusal from where it is found to where the command ends."""

from dataclasses import dataclass

from twinlock.wire.scsi_cdb import Cdb
from twinlock.wire.scsi_sense import (
    CommandSpecificDescriptor,
    DescriptorSense,
    FieldPointer,
    FixedSense,
    InformationDescriptor,
    SenseCode,
    SenseKeySpecificDescriptor,
)
from twinlock.wire.structure import Field, Structure

_U32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Sense:
    """A condition to report; ``field`` is what was refused.

    ``information`` is the LBA concerned; the offset of a byte, for a miscompare of COMPARE AND WRITE.
    """

    code: SenseCode
    information: int | None = None
    field: FieldPointer | None = None
    command_specific: int | None = None

    def build(self, *, descriptor: bool = False) -> bytes:
        """Sense data in fixed format, or in ``descriptor`` format."""
        return self._descriptor() if descriptor else self._fixed()

    def _fixed(self) -> bytes:
        key, code, qualifier = self.code.value
        # four bytes of INFORMATION: what does not fit is left out, not cut (SPC-4, INFORMATION field)
        fits = self.information is not None and self.information < _U32
        return FixedSense(
            sense_key=key,
            code=code,
            qualifier=qualifier,
            information_valid=fits,
            information=self.information if self.information is not None and fits else 0,
            command_specific=self.command_specific or 0,
            sense_key_specific=self.field.build() if self.field else b"",
        ).build()

    def _descriptor(self) -> bytes:
        key, code, qualifier = self.code.value
        descriptors = b""
        if self.information is not None:
            descriptors += InformationDescriptor(information=self.information).build()
        if self.command_specific is not None:
            descriptors += CommandSpecificDescriptor(command_specific=self.command_specific).build()
        if self.field is not None:
            descriptors += SenseKeySpecificDescriptor(sense_key_specific=self.field.build()).build()
        header = DescriptorSense(
            sense_key=key, code=code, qualifier=qualifier, additional_length=len(descriptors)
        )
        return header.build() + descriptors


class Refusal(Exception):
    """A command that ends in CHECK CONDITION before it reaches the device.

    ``wanted``: bytes of data-out the CDB asked for, where it was good enough to
    say so.
    """

    def __init__(self, sense: Sense, wanted: int = 0) -> None:
        super().__init__(sense)
        self.sense = sense
        self.wanted = wanted


def refuse(code: SenseCode, wanted: int = 0) -> Refusal:
    """A refusal without further detail."""
    return Refusal(Sense(code), wanted)


def invalid_field(cdb: Cdb, name: str) -> Refusal:
    """INVALID FIELD IN CDB, pointing at the declared field ``name`` of ``cdb``."""
    return Refusal(Sense(SenseCode.INVALID_FIELD_IN_CDB, field=point_at(cdb.FIELDS[name])))


def invalid_parameter(declared: type[Structure], name: str, start: int = 0) -> Refusal:
    """INVALID FIELD IN PARAMETER LIST: field ``name`` of the structure at byte ``start`` of the list."""
    pointer = point_at(declared.FIELDS[name])
    pointer = pointer.replace(in_cdb=False, byte=start + pointer.byte)
    return Refusal(Sense(SenseCode.INVALID_FIELD_IN_PARAMETER_LIST, field=pointer))


def point_at(field: Field) -> FieldPointer:
    """A pointer to ``field``: its first byte, and its highest bit if it is no whole byte."""
    partial = field.kind in ("bits", "flag")
    bit = field.shift + field.mask.bit_length() - 1 if partial else 0
    return FieldPointer(byte=field.offset, bit_valid=partial, bit=bit)
