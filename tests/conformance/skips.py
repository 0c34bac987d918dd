"""The tests that a fixed disk without SANITIZE and WRITE ATOMIC may skip, and why; nothing else may.

``docs/conformance.md`` has the same table for its readers.
"""

NO_SANITIZE = "SANITIZE destroys all data with one command; a disk for backups does not offer that"
NO_ATOMIC = "WRITE ATOMIC would promise that a power cut leaves all or nothing; two disks cannot keep that"
FIXED = "only for removable media; a volume is a fixed disk"

SKIPPED_SUITES = {
    "Sanitize": NO_SANITIZE,
    "WriteAtomic16": NO_ATOMIC,
    "PreventAllow": FIXED,
    "StartStopUnit": FIXED,
    "NoMedia": FIXED,
}
"""Every test of these suites."""


def reason(name: str) -> str | None:
    """Why the test may be skipped; None if it may not."""
    return SKIPPED_SUITES.get(name.partition(".")[0])
