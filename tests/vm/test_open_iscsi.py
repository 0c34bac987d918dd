"""The kernel's own initiator, with open-iscsi: CHAP, mutual CHAP, and digests of headers and data."""

from pathlib import Path

import pytest

from tests.support.daemon import TARGET_PREFIX
from tests.vm import files, lab
from tests.vm.backup import NAME, Backup

pytestmark = pytest.mark.vm

HOST = "10.0.2.2"
INITIATOR = "iqn.2026-11.example:guest"

START = f"""
modprobe -a virtio_net iscsi_tcp sd_mod sg ext4 crc32c_generic
until test -e /sys/class/net/eth0; do sleep 0.05; done
ip address add 10.0.2.15/24 dev eth0
ip link set eth0 up
mkdir -p /etc/iscsi /run/lock/iscsi
echo InitiatorName={INITIATOR} > /etc/iscsi/initiatorname.iscsi
iscsid
"""

NODE = "iscsiadm -m node -T {target} -p {portal}"

LOGIN = """
{node} --login
until test -b /dev/sda; do sleep 0.05; done
iscsiadm -m session -P 3
"""

USE = """
test "$(blockdev --getss /dev/sda)" = {block_size}
mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 /dev/sda
mount /dev/sda /mnt
cp -r tree/. /mnt
iscsiadm -m session -R >&2                  # the disk is looked at again while it is in use
dd if=/dev/urandom of=/mnt/direct bs=256k count=32 oflag=direct
fstrim /mnt
sync
echo 3 > /proc/sys/vm/drop_caches           # what is read now comes from the target
(cd /mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum)
umount /mnt
"""

TOOLS = """
sg_luns /dev/sda | grep 'Lun list length = 8 '
sg_inq /dev/sda | grep 'Vendor identification: TWINLOCK'
sg_vpd --page=di /dev/sda | grep NAA
sg_turs /dev/sda
sg_sync /dev/sda
sg_persist --out --register --param-sark=0xabc /dev/sda
sg_persist --out --reserve --param-rk=0xabc --prout-type=5 /dev/sda
sg_persist --in --read-reservation /dev/sda | grep 'type: Write Exclusive, registrants only'
sg_persist --out --release --param-rk=0xabc --prout-type=5 /dev/sda
sg_persist --out --register --param-rk=0xabc --param-sark=0 /dev/sda
sg_persist --in --read-keys /dev/sda | grep 'there are NO registered reservation keys'
sg_reset --device /dev/sda
sg_reset --target /dev/sda
sg_turs --number=3 /dev/sda || sg_turs /dev/sda
"""

AGAIN = """
e2fsck -fn /dev/sda >&2
mount -o ro /dev/sda /mnt
(cd /mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum)
umount /mnt
if dmesg | grep -E 'conn error|I/O error|detected'; then exit 1; fi
"""

WITH_DIGESTS = ("HeaderDigest: CRC32C", "DataDigest: CRC32C", "ImmediateData: Yes")

REFUSED = {"secret": "authorization failure", "mutual_secret": "non-retryable iSCSI login failure"}
"""What iscsiadm says if the target refuses it, and if it refuses the target."""


@pytest.mark.parametrize(
    ("block_size", "chap"), [(512, "mutual"), pytest.param(4096, "auto", marks=pytest.mark.long)]
)
def test_open_iscsi_with_digests(
    backup: Backup, artefacts: lab.Artefacts, tmp_path: Path, block_size: int, chap: str
) -> None:
    backup.create(block_size, chap=chap)
    backup.serve()
    credentials = backup.daemon.chap(NAME)
    node = NODE.format(target=TARGET_PREFIX + NAME, portal=f"{HOST}:{backup.daemon.port}")
    with lab.switched_on(artefacts, tmp_path / "guest", [], network=True) as machine:
        given = files.make_tree(machine.share / "tree", seed=block_size)
        machine.run(f"{START}{node} -o new")
        for key in REFUSED.keys() & credentials.keys():
            machine.run(_update(node, credentials | {key: "wrongwrong12"}))
            with pytest.raises(lab.GuestError, match=REFUSED[key]):
                machine.run(f"{node} --login")
        machine.run(_update(node, credentials) + "dmesg --clear")
        session = machine.run(LOGIN.format(node=node))
        for agreed in WITH_DIGESTS:
            assert agreed in session
        written = files.digests_in(machine.run(USE.format(block_size=block_size)))
        assert given.items() <= written.items()
        machine.run(TOOLS)
        machine.run(f"{node} --logout")
        backup.reopen()
        machine.run(LOGIN.format(node=node))
        found = machine.run(AGAIN)
        machine.run(f"{node} --logout")
    assert files.digests_in(found) == written


def _update(node: str, chap: dict[str, str]) -> str:
    settings = {
        "node.session.auth.authmethod": "CHAP",
        "node.session.auth.username": chap["user"],
        "node.session.auth.password": chap["secret"],
        "node.conn[0].iscsi.HeaderDigest": "CRC32C",
        "node.conn[0].iscsi.DataDigest": "CRC32C",
        "node.session.initial_login_retry_max": "1",
    }
    if "mutual_secret" in chap:
        settings["node.session.auth.username_in"] = chap["mutual_user"]
        settings["node.session.auth.password_in"] = chap["mutual_secret"]
    return "".join(f"{node} -o update -n '{name}' -v '{value}'\n" for name, value in settings.items())
