"""``twinlock connect``: what to type on the machine that will use the volume."""

import socket
from typing import Annotated

import typer
from rich.console import Console

from twinlock.cli.client import ask, volume_path
from twinlock.cli.words import CLUSTER_ONLY
from twinlock.daemon.models import ConnectReply, Login
from twinlock.server.portal import Portal

LINUX = """\
Linux (package open-iscsi), as root:
  iscsiadm -m node -o new -T {target} -p {portal}
{chap}  iscsiadm -m node -T {target} -p {portal} -o update -n node.session.timeo.replacement_timeout -v 86400
  iscsiadm -m node -T {target} -p {portal} -o update -n node.startup -v automatic
  iscsiadm -m node -T {target} -p {portal} --login
"""
LINUX_SETTING = "  iscsiadm -m node -T {target} -p {portal} -o update -n node.session.auth.{key} -v {value}\n"
WINDOWS = """\
Windows (PowerShell as administrator):
  Start-Service msiscsi; Set-Service msiscsi -StartupType Automatic
{mutual}  New-IscsiTargetPortal -TargetPortalAddress {host} -TargetPortalPortNumber {port}{discovery}
  Connect-IscsiTarget -NodeAddress {target} -IsPersistent $true{chap}
"""
WINDOWS_CHAP = " -AuthenticationType {kind} -ChapUsername {user} -ChapSecret {secret}"
WINDOWS_MUTUAL = "  Set-IscsiChapSecret -ChapSecret TARGET_SECRET\n"
MAC = """\
macOS has no iSCSI initiator of its own, and no free one works on current systems. With a commercial one
(ATTO Xtend SAN, globalSAN):
  portal {portal}
  target {target}
{chap}"""
MAC_CHAP = "  CHAP user {user}, secret SECRET\n"
MAC_MUTUAL = "  mutual CHAP user {user}, secret TARGET_SECRET\n"
FIRST_TIME = "The first time, the disk is blank: give it a file system there."


def run(name: Annotated[str, typer.Argument(metavar="NAME", help="The volume.")]) -> None:
    """Show what to type on Linux, Windows and a Mac."""
    reply = ask("GET", volume_path(name, "connect"), ConnectReply)
    text = render(reply, reachable(reply.portals))
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def render(reply: ConnectReply, portal: Portal) -> str:
    """The whole text; SECRET and the like stand where the secrets go."""
    parts = (_linux(reply, portal), _windows(reply, portal), _mac(reply, portal), *_notes(reply))
    return "\n".join(parts)


def _linux(reply: ConnectReply, portal: Portal) -> str:
    """By name, without discovery."""
    settings: list[tuple[str, str]] = []
    if reply.login:
        settings += [("authmethod", "CHAP"), ("username", reply.login.user), ("password", "SECRET")]
        if reply.login.mutual_user:
            settings += [("username_in", reply.login.mutual_user), ("password_in", "TARGET_SECRET")]
    chap = [
        LINUX_SETTING.format(target=reply.target, portal=portal, key=key, value=value)
        for key, value in settings
    ]
    return LINUX.format(target=reply.target, portal=portal, chap="".join(chap))


def _windows(reply: ConnectReply, portal: Portal) -> str:
    """The secret by which targets prove themselves is one for the whole machine."""
    mutual = reply.login is not None and reply.login.mutual_user is not None
    return WINDOWS.format(
        target=reply.target,
        host=portal.host,
        port=portal.port,
        mutual=WINDOWS_MUTUAL if mutual else "",
        discovery=_windows_chap(reply.discovery, "DISCOVERY_SECRET", mutual=False),
        chap=_windows_chap(reply.login, "SECRET", mutual=mutual),
    )


def _windows_chap(login: Login | None, secret: str, *, mutual: bool) -> str:
    if login is None:
        return ""
    kind = "MUTUALCHAP" if mutual else "ONEWAYCHAP"
    return WINDOWS_CHAP.format(kind=kind, user=login.user, secret=secret)


def _mac(reply: ConnectReply, portal: Portal) -> str:
    chap = MAC_CHAP.format(user=reply.login.user) if reply.login else ""
    if reply.login and reply.login.mutual_user:
        chap += MAC_MUTUAL.format(user=reply.login.mutual_user)
    return MAC.format(target=reply.target, portal=portal, chap=chap)


def _notes(reply: ConnectReply) -> list[str]:
    notes = []
    if reply.login:
        own = " (TARGET_SECRET: mutual_secret)" if reply.login.mutual_user else ""
        notes.append(
            f"SECRET is what create or set printed last; it is kept in {reply.login.secret_file}{own}\n"
        )
    if reply.discovery:
        notes.append(
            f"Discovery asks for CHAP user {reply.discovery.user}; DISCOVERY_SECRET is in "
            f"{reply.discovery.secret_file}\n"
        )
    others = [portal for portal in _for_others(reply.portals)[1:] if not portal.is_wildcard]
    if others:
        notes.append(f"It is reached at {', '.join(map(str, others))} as well.\n")
    if reply.waits:
        notes.append(
            "Settings or secrets were changed since it was unlocked: they count from the next unlock on. "
            f"twinlock set {reply.name} shows the settings.\n"
        )
    return [*notes, _use(reply)]


def _use(reply: ConnectReply) -> str:
    if reply.shared:
        return f"It is {CLUSTER_ONLY}."
    if reply.read_only:
        return "It is read-only: mount it so. Connect one machine at a time."
    return f"Connect one machine at a time. {FIRST_TIME}"


def reachable(portals: list[str]) -> Portal:
    """The first portal of use to another machine, as that can name it."""
    portal = _for_others(portals)[0]
    return Portal(_own_address(), portal.port) if portal.is_wildcard else portal.unscoped


def _for_others(portals: list[str]) -> list[Portal]:
    """The portals that other machines reach; all of them if they are for this one only."""
    known = [Portal.parse(text) for text in portals]
    return [portal for portal in known if not portal.is_loopback] or known


def _own_address() -> str:
    """The address this machine has in its network; its name if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a UDP connect sends nothing; it only picks the way out
            address: str = probe.getsockname()[0]
        except OSError:
            return socket.gethostname()
    return address
