"""The volume that all these tests are about: "backup", on two files, served by a daemon of its own."""

import time
from pathlib import Path

from tests.support.daemon import TARGET_PREFIX, Daemon
from tests.support.qemu import IscsiDisk
from tests.vm.stack import PASSPHRASE

NAME = "backup"
RESYNC_SECONDS = 60.0

TAKEN_OVER = """\
[[volume]]
name = "{name}"
members = ["{members[0]}", "{members[1]}"]
chap = false
"""


class Backup:
    """Members, passphrase and daemon, all in ``folder``; nothing is made or started yet."""

    def __init__(self, folder: Path) -> None:
        self.members = (folder / "member-a", folder / "member-b")
        self.daemon = Daemon(folder / "root")
        self._passphrase = folder / "passphrase"
        self._passphrase.write_bytes(PASSPHRASE)

    def create(self, block_size: int, *, chap: str = "none", size: str = "128M") -> None:
        """Let twinlock make the members, with a cheap key derivation."""
        members = [str(member) for member in self.members]
        options = {
            "--size": size,
            "--passphrase-file": str(self._passphrase),
            "--iter-time": "50",
            "--block-size": str(block_size),
            "--chap": chap,
        }
        self.daemon.cli("create", NAME, *members, *(word for option in options.items() for word in option))

    def take_over(self) -> None:
        """Configure members that others made."""
        file = self.daemon.root / "etc" / "twinlock.toml"
        file.parent.mkdir(parents=True)
        file.write_text(TAKEN_OVER.format(name=NAME, members=self.members))

    def serve(self) -> str:
        """Start the daemon, unlock the volume, and return the URL of its logical unit."""
        self.daemon.start()
        self.daemon.cli("unlock", NAME, "--passphrase-file", str(self._passphrase))
        return self.daemon.iscsi_url(NAME)

    def reopen(self) -> None:
        """Lock and unlock: nothing but the members keeps what the volume holds."""
        self.daemon.cli("lock", NAME)
        self.daemon.cli("unlock", NAME, "--passphrase-file", str(self._passphrase))

    def disk(self) -> IscsiDisk:
        """The logical unit for QEMU, with CHAP and header digests."""
        secret = self._passphrase.with_name("secret")
        secret.write_text(self.daemon.secret(NAME))
        portal = ("127.0.0.1", self.daemon.port)
        return IscsiDisk(portal, TARGET_PREFIX + NAME, NAME, secret, header_digest=True)

    def wait_until_clean(self) -> None:
        """Return once the members hold the same and say so, and no job is reported any more."""
        until = time.monotonic() + RESYNC_SECONDS
        while not (opened := self.daemon.status(NAME)["open"])["clean"]:
            assert time.monotonic() < until, "the resync does not end"
            time.sleep(0.1)
        assert opened["jobs"] == []
