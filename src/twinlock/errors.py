"""Every error a user can meet, as one tree: a sentence that says what to do, and an exit code of its own.

``TwinlockError`` and its children are for people: the command line prints the
sentence and leaves with the exit code; the API sends name, sentence and code.
``DeviceError`` and its children are for the data path: the kinds a block device
may answer with, which the server turns into SCSI sense data.
``ProtocolError`` is the peer's fault, and ends its connection only.  Any
exception outside these trees is a bug.
"""

from typing import Any, ClassVar


class TwinlockError(Exception):
    """Something a person can put right.  ``sentence`` is filled from the keyword arguments."""

    sentence: ClassVar[str] = "{reason}"
    exit_code: ClassVar[int] = 1

    def __init__(self, **context: object) -> None:
        self.context = {key: str(value) for key, value in context.items()}
        super().__init__(self.sentence.format(**self.context))

    def describe(self) -> dict[str, object]:
        """The error as JSON can carry it, for :func:`rebuild` at the other end of a socket."""
        return {
            "name": type(self).__name__,
            "context": self.context,
            "sentence": str(self),
            "exit_code": self.exit_code,
        }


def rebuild(description: dict[str, Any]) -> TwinlockError:
    """The error that :meth:`TwinlockError.describe` described, as the same class."""
    kinds = {kind.__name__: kind for kind in TwinlockError.__subclasses__()}
    return kinds.get(description["name"], InternalError)(**description["context"])


# -- the command and the daemon: 3 to 9 -----------------------------------------------------------


class NotServing(TwinlockError):
    """No daemon answers on the API socket."""

    sentence = "twinlock is not serving ({socket} does not answer); start it with: twinlock serve"
    exit_code = 3


class AlreadyServing(TwinlockError):
    """Another daemon (or a command that changes volumes) holds the state folder."""

    sentence = "another twinlock is at work with {folder}; stop it first, or use another TWINLOCK_ROOT"
    exit_code = 4


class PortalUnavailable(TwinlockError):
    """The address and port to listen on cannot be had."""

    sentence = "cannot listen on {portal} ({reason}); free it, or choose another with --portal ADDRESS:PORT"
    exit_code = 5


class ConfigurationInvalid(TwinlockError):
    """The configuration file holds something that cannot be meant."""

    sentence = "{file}, line {line}: {reason}; correct the file, nothing was changed"
    exit_code = 6


class BadOption(TwinlockError):
    """An option's value, or a combination of options, makes no sense."""

    sentence = "{option}: {reason}"
    exit_code = 7


class FolderUnusable(TwinlockError):
    """A folder for configuration, state or sockets cannot be made or written to."""

    sentence = "{folder} cannot be used ({reason}); put that right, or choose another place by TWINLOCK_ROOT"
    exit_code = 8


class InternalError(TwinlockError):
    """A bug.  The sentence asks for a report."""

    sentence = "twinlock met a bug ({reason}); please report it with the log of twinlock serve"
    exit_code = 70


# -- volumes: 10 to 19 ----------------------------------------------------------------------------


class NoSuchVolume(TwinlockError):
    """No volume of that name is configured."""

    sentence = "there is no volume '{name}'; twinlock status lists them"
    exit_code = 10


class VolumeExists(TwinlockError):
    """A volume of that name is there already."""

    sentence = "there is a volume '{name}' already; choose another name"
    exit_code = 11


class NameInvalid(TwinlockError):
    """A volume name with characters that a target name cannot hold."""

    sentence = (
        "'{name}' cannot be a volume's name; use 1 to 32 lower-case letters, digits and hyphens, "
        "beginning with a letter"
    )
    exit_code = 12


class TargetNameInvalid(TwinlockError):
    """A target name that is no iSCSI name (RFC 7143 section 4.2.7), or one that another volume has."""

    sentence = "'{name}' cannot be the target's name: {reason}"
    exit_code = 13


class WorkerFailed(TwinlockError):
    """The process that serves a volume ended, or does not answer."""

    sentence = "the worker of volume '{name}' failed ({reason}); its log is in {log}"
    exit_code = 14


class NotClosedCleanly(TwinlockError):
    """The last flush or the mark "clean" could not be written."""

    sentence = (
        "the volume is closed, but {reason}; its array stays marked active and is checked at the next unlock"
    )
    exit_code = 15


class InitiatorNameInvalid(TwinlockError):
    """A name for the list of initiators that is no iSCSI name (RFC 7143 section 4.2.7)."""

    sentence = (
        "'{name}' is no initiator's name; write it as the initiator shows it, "
        "like iqn.1991-05.com.microsoft:pc (on Linux: /etc/iscsi/initiatorname.iscsi)"
    )
    exit_code = 16


class NetworkInvalid(TwinlockError):
    """A network for the list of networks that is none."""

    sentence = "'{network}' is no network: {reason}"
    exit_code = 17


class ReservationsUnreadable(TwinlockError):
    """The file of persistent reservations is damaged; to serve without it could let two machines write."""

    sentence = (
        "the reservations of volume '{name}' cannot be read ({reason}), so nobody knows who may write to it; "
        "if no other machine uses the volume, forget them with: rm {path}"
    )
    exit_code = 18


# -- members and arrays: 20 to 39 -----------------------------------------------------------------


class MemberMissing(TwinlockError):
    """The path of a member leads nowhere."""

    sentence = "{path} is not there; check the path, or connect the disk"
    exit_code = 20


class MemberUnusable(TwinlockError):
    """The path is there but cannot be a member (a folder, a character device, no permission...)."""

    sentence = "{path} cannot be a member: {reason}"
    exit_code = 21


class MemberTooSmall(TwinlockError):
    """The member has no room for an array and a container."""

    sentence = "{path} has {size}; a member of this volume needs at least {needed}"
    exit_code = 22


class MemberInUse(TwinlockError):
    """Something else holds the member; ``release`` is the command that frees it."""

    sentence = "{path} is in use by {holder}; free it with: {release}"
    exit_code = 23


class MemberHasSignature(TwinlockError):
    """The member holds something; it is named, and not overwritten without ``--force``."""

    sentence = "{path} holds {signature}; if that may be destroyed for good, repeat the command with --force"
    exit_code = 24


class MemberNamedTwice(TwinlockError):
    """Two of the members are one and the same file or device."""

    sentence = "{path} is named twice (or is the same disk as {other}); a mirror needs two different disks"
    exit_code = 25


class NotAMember(TwinlockError):
    """There is no md superblock where one was expected, or it is damaged."""

    sentence = "{path} is not a member of an array: {reason}"
    exit_code = 26


class MemberOfOtherArray(TwinlockError):
    """The superblock names another array than the volume's."""

    sentence = "{path} belongs to array {found}, not to {expected}; connect the right disk"
    exit_code = 27


class MembersDiverged(TwinlockError):
    """Both halves were written to without the other: nothing is merged by guessing."""

    sentence = "the members ran apart and nothing was changed: {account}; {choice}"
    exit_code = 28


class ArrayUnsupported(TwinlockError):
    """A kind of array, or a feature, that twinlock refuses by name."""

    sentence = "{path} uses {feature}, which twinlock does not serve; nothing was changed"
    exit_code = 29


class NoMemberUsable(TwinlockError):
    """None of the members can be used, so the volume cannot start."""

    sentence = "volume '{name}' cannot start: {reason}"
    exit_code = 30


class NoSuchMember(TwinlockError):
    """No member of the volume has that path."""

    sentence = "volume '{name}' has no member {path}; twinlock member list {name} shows them"
    exit_code = 31


class MemberNeeded(TwinlockError):
    """Without this member the data would be lost, or no complete copy would be left."""

    sentence = "{path} is needed: {reason}"
    exit_code = 32


class NotPossibleNow(TwinlockError):
    """The array, or the volume, is in a state that does not allow what was asked for."""

    sentence = "that is not possible now: {reason}"
    exit_code = 33


class CannotGrow(TwinlockError):
    """There is no room on the members for the size that was asked for."""

    sentence = "volume '{name}' cannot grow: {reason}"
    exit_code = 34


class CannotImport(TwinlockError):
    """What was named is nothing that twinlock can take over."""

    sentence = "{path} cannot be taken over: {reason}; nothing was changed"
    exit_code = 35


class ScrubFound(TwinlockError):
    """A scrub came to its end and found what is not put right."""

    sentence = "the scrub of volume '{name}' found errors: {found}; {advice}"
    exit_code = 36


# -- containers and keys: 40 to 59 ----------------------------------------------------------------


class WrongPassphrase(TwinlockError):
    """No keyslot opens with the passphrase."""

    sentence = "no keyslot of volume '{name}' opens with this passphrase"
    exit_code = 40


class PassphraseUnusable(TwinlockError):
    """Empty, too long, or the two that were typed differ."""

    sentence = "the passphrase cannot be used: {reason}"
    exit_code = 41


class LibraryMissing(TwinlockError):
    """A system library is not installed."""

    sentence = "{library} is not installed; install it with: apt-get install {package}"
    exit_code = 42


class ContainerUnsupported(TwinlockError):
    """The container is damaged, missing, or uses what twinlock does not serve."""

    sentence = "the container cannot be opened: {reason}"
    exit_code = 43


class KeyMemoryUnavailable(TwinlockError):
    """The machine refuses locked memory, so a key could reach the swap."""

    sentence = "cannot lock memory for the volume key ({reason}); raise the limit with: ulimit -l unlimited"
    exit_code = 44


class SelfTestFailed(TwinlockError):
    """The cipher or a checksum computes wrong results on this machine."""

    sentence = "self-test failed: {reason}; this machine must not be trusted with data"
    exit_code = 45


class KeyDerivationFailed(TwinlockError):
    """No key could be derived from the passphrase, mostly for want of memory (Argon2id takes up to 1 GiB)."""

    sentence = "deriving the key failed ({reason}); stop other programs to free memory, and try again"
    exit_code = 47


class ChapSecretUnusable(TwinlockError):
    """A CHAP user or secret that initiators would refuse, or that is too weak."""

    sentence = "the CHAP {what} cannot be used: {reason}"
    exit_code = 46


class NoSuchKeyslot(TwinlockError):
    """The container has no keyslot of that number, or nothing is in it."""

    sentence = "there is no key {number}; twinlock key list shows them"
    exit_code = 48


class LastKey(TwinlockError):
    """Without this keyslot nobody could unlock the volume any more, or nobody without the key file."""

    sentence = "key {number} stays: {reason}; add another key first, or say --force"
    exit_code = 49


class KeyslotsFull(TwinlockError):
    """Every keyslot of the container is taken."""

    sentence = "there is no room for another key ({reason}); remove one first: twinlock key remove"
    exit_code = 50


class HeaderBackupUnusable(TwinlockError):
    """A file that is no backup of this container's header, or a place where none can be kept."""

    sentence = "{path} cannot be used as the header's backup: {reason}; nothing was changed"
    exit_code = 51


class HeaderNotWritten(TwinlockError):
    """The medium failed while the container's header was changed: the keys before or those after it count."""

    sentence = (
        "the change of keys could not be written to its end ({reason}); it is finished or undone at the next "
        "unlock, until then the keys before it open the volume, or those after it"
    )
    exit_code = 52


class MemoryShort(TwinlockError):
    """Less memory is free than deriving the key takes: to try would have the kernel kill the process."""

    sentence = (
        "{what} takes {needed} of memory, but only {available} are free; stop other programs, "
        "or do it on a machine with more"
    )
    exit_code = 53


# -- the data path --------------------------------------------------------------------------------


class DeviceError(Exception):
    """A block device could not do as asked.  ``offset`` in bytes, where one is known."""

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        super().__init__(message)
        self.offset = offset


class MediumError(DeviceError):
    """The data at ``offset`` cannot be read."""


class ChecksumMismatch(MediumError):
    """What the medium gave is not what was written there: its checksum is another."""


class WriteFailed(DeviceError):
    """The data could not be written, or a flush failed: the device holds no longer what it should."""


class SpaceExhausted(DeviceError):
    """ENOSPC or EDQUOT: nothing is broken, there is no room (WRITE PROTECTED, space allocation failed)."""


class DeviceGone(DeviceError):
    """The device is not there any more."""


# -- the network ----------------------------------------------------------------------------------


class ProtocolError(Exception):
    """The peer broke the protocol: its connection ends, nothing else is touched."""
