"""The LUKS container: everything that concerns its header is done by libcryptsetup, in this process.

libcryptsetup never sees the array.  It works on a copy of the header area in a
memfd; what it changed there is written back by whoever owns the array.
"""

from twinlock.luks.container import (
    PROBE_LENGTH,
    SMALLEST_ARRAY,
    FormattedContainer,
    OpenContainer,
    format_container,
    header_length,
    inspect_container,
    payload_offset_for,
    unlock_container,
)
from twinlock.luks.facts import ContainerFacts
from twinlock.luks.opening import Attempt
from twinlock.luks.tokens import with_target_name

__all__ = [
    "PROBE_LENGTH",
    "SMALLEST_ARRAY",
    "Attempt",
    "ContainerFacts",
    "FormattedContainer",
    "OpenContainer",
    "format_container",
    "header_length",
    "inspect_container",
    "payload_offset_for",
    "unlock_container",
    "with_target_name",
]
