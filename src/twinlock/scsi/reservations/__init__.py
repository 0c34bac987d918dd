"""Reservations of a logical unit: persistent ones (SPC-4), and RESERVE and RELEASE (SPC-2).

What is reserved is an immutable :class:`~twinlock.scsi.reservations.state.State`;
a service action is a pure function from one state to the next.  Only
:mod:`~twinlock.scsi.reservations.reservations` knows of locks, of storage and of
the initiators that have to be told.
"""
