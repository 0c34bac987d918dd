"""A device that goes wrong on demand, and loses power.

What goes wrong is said by a map of the next operations, by places, or at a rate (:mod:`.plan`); what a
power cut takes is what no flush followed (:mod:`.cache`).
"""

from twinlock.block.faulty.device import FaultyDevice
from twinlock.block.faulty.plan import Hook, Rates

__all__ = ["FaultyDevice", "Hook", "Rates"]
