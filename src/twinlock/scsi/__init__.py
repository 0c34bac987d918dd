"""The SCSI device server, pure: CDBs in, operations on a block device or results out.

Nothing here touches a device.  A command either ends at once with a
:class:`~twinlock.scsi.operations.Result`, or becomes an operation that the
caller carries out and then hands to ``finish`` or ``fail`` for its result.
"""
