"""A daemon in a network of its own, whose addresses come and go as a test likes."""

import subprocess
from pathlib import Path

from tests.support.daemon import Daemon

LOOPBACK_ONLY = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
"""A network namespace with nothing in it but the loopback interface; it ends with the process."""


class IsolatedDaemon(Daemon):
    """``twinlock serve`` where no address is but 127.0.0.1 and ::1."""

    def __init__(self, root: Path, *portals: str) -> None:
        super().__init__(root)
        self.portals = [portal.replace("PORT", str(self.port)) for portal in portals]
        self.wrapper = LOOPBACK_ONLY

    def inside(self, *command: str | Path, environ: dict[str, str] | None = None, check: bool = True) -> str:
        """Run a command in the daemon's network; what it prints."""
        assert self.process is not None
        words = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", *map(str, command)]
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, timeout=60, env=environ or self.environ
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def ip(self, *words: str) -> None:
        """Change the network by iproute2."""
        self.inside("ip", *words)
