"""Size, block sizes and limits of a disk, as its initiator sees them."""

from dataclasses import dataclass

from twinlock.units import MIB


@dataclass(frozen=True, slots=True)
class Geometry:
    """``blocks`` logical blocks of ``block_size`` bytes; ``discard``: UNMAP is offered."""

    blocks: int
    block_size: int = 512
    physical_block_size: int = 4096
    discard: bool = True

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError("a disk has at least one block")
        ratio = self.physical_block_size // self.block_size
        if self.physical_block_size % self.block_size or ratio & (ratio - 1):
            raise ValueError("a physical block is a power of two of logical blocks")

    @property
    def size(self) -> int:
        """Bytes."""
        return self.blocks * self.block_size

    @property
    def blocks_per_physical(self) -> int:
        """Logical blocks of a physical one."""
        return self.physical_block_size // self.block_size

    @property
    def physical_block_exponent(self) -> int:
        """The power of two of :attr:`blocks_per_physical`."""
        return self.blocks_per_physical.bit_length() - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may ask for; published in the Block Limits VPD page (SBC-3)."""

    transfer: int = 8 * MIB
    """Bytes of one read, write or verify: bounds the memory of a command."""
    optimal_transfer: int = 1 * MIB
    """Bytes; initiators read ahead and align partitions by it."""
    unmap_blocks: int = 1 << 20
    """Logical blocks of one UNMAP, all descriptors together."""
    unmap_descriptors: int = 256
    compare_blocks: int = 255
    """Logical blocks of one COMPARE AND WRITE: as many as a byte of the Block Limits page can say."""
    write_same: int = 16 * MIB
    """Bytes that one WRITE SAME fills."""
    copy_targets: int = 16
    """CSCD descriptors of one EXTENDED COPY."""
    copy_segments: int = 64
    """Segment descriptors of one EXTENDED COPY."""
    copies: int = 4
    """Copies carried out at a time: each takes a thread for long."""
    status_extents: int = 256
    """LBA status descriptors of one GET LBA STATUS."""
