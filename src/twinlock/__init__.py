"""twinlock: two disks become one encrypted, mirrored disk on the network.

The layers, from the wire to the disk, and the direction of imports::

    errors, units -> wire, native -> { iscsi | scsi | block | luks } -> server -> daemon -> { cli | web }
"""

__version__ = "0.1.0"
