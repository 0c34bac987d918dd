"""``twinlock connect``: what to type on the machine that will use the volume."""

import socket
from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.daemon.models import ConnectReply
from twinlock.server.portal import Portal

WILDCARDS = ("::", "0.0.0.0")

LINUX = """\
Linux (package open-iscsi), as root:
  iscsiadm -m node -o new -T {target} -p {portal}
{chap}  iscsiadm -m node -T {target} -p {portal} -o update -n node.session.timeo.replacement_timeout -v 86400
  iscsiadm -m node -T {target} -p {portal} -o update -n node.startup -v automatic
  iscsiadm -m node -T {target} -p {portal} --login
"""
LINUX_CHAP = """\
  iscsiadm -m node -T {target} -p {portal} -o update -n node.session.auth.authmethod -v CHAP
  iscsiadm -m node -T {target} -p {portal} -o update -n node.session.auth.username -v {user}
  iscsiadm -m node -T {target} -p {portal} -o update -n node.session.auth.password -v SECRET
"""
WINDOWS = """\
Windows (PowerShell as administrator):
  Start-Service msiscsi; Set-Service msiscsi -StartupType Automatic
  New-IscsiTargetPortal -TargetPortalAddress {host} -TargetPortalPortNumber {port}
  Connect-IscsiTarget -NodeAddress {target} -IsPersistent $true{chap}
"""
WINDOWS_CHAP = " -AuthenticationType ONEWAYCHAP -ChapUsername {user} -ChapSecret SECRET"
MAC = """\
macOS has no iSCSI initiator of its own, and no free one works on current systems. With a commercial one
(ATTO Xtend SAN, globalSAN):
  portal {portal}
  target {target}
{chap}"""
MAC_CHAP = "  CHAP user {user}, secret SECRET\n"


def run(name: Annotated[str, typer.Argument(help="The volume.")]) -> None:
    """Show what to type on Linux, Windows and a Mac."""
    reply = ask("GET", volume_path(name, "connect"), ConnectReply)
    text = render(reply, reachable(reply.portals))
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def render(reply: ConnectReply, portal: Portal) -> str:
    """The whole text; SECRET stands where the secret goes."""
    facts = {
        "target": reply.target,
        "portal": portal,
        "host": portal.host,
        "port": portal.port,
        "user": reply.chap_user,
    }
    parts = []
    for text, chap in ((LINUX, LINUX_CHAP), (WINDOWS, WINDOWS_CHAP), (MAC, MAC_CHAP)):
        parts.append(text.format(**facts, chap=chap.format(**facts) if reply.chap_user else ""))
    if reply.secret_file:
        parts.append(f"SECRET is what create printed; it is kept in {reply.secret_file}\n")
    parts.append(
        "Connect one machine at a time. The first time, the disk is blank: give it a file system there."
    )
    return "\n".join(parts)


def reachable(portals: list[str]) -> Portal:
    """The first portal, as another machine can name it."""
    portal = Portal.parse(portals[0])
    return Portal(_own_address(), portal.port) if portal.host in WILDCARDS else portal


def _own_address() -> str:
    """The address this machine has in its network; its name if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a UDP connect sends nothing; it only picks the way out
            address: str = probe.getsockname()[0]
        except OSError:
            return socket.gethostname()
    return address
