"""Work on a volume, open or locked: members, size, scrubs, keys and the container's header.

A task (:mod:`twinlock.server.tasks`) runs in a thread of its own in the worker; see
:mod:`twinlock.server.maintenance.registry` for who does what.
"""
