#!/bin/busybox sh
# The guest's first process.  Each line that comes in on the port "control" is the name of a script
# in /share (a folder of the host); it is run with bash, its output goes to NAME.out, what it says and
# its trace to NAME.err, and its exit status goes back.  The end of input, also when the host's
# process dies, turns the machine off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C
export DM_DISABLE_UDEV=1        # no udevd: libdevmapper makes the nodes itself
busybox mkdir -p /proc /sys /dev /run /tmp /mnt /share
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
busybox mount -t tmpfs run /run
busybox mkdir -p /run/cryptsetup /run/mdadm /run/lock
modprobe -a virtio_pci virtio_blk virtio_console virtio_rng 9pnet_virtio
root=$(busybox sed -n 's/.*lab\.root=\([^ ]*\).*/\1/p' /proc/cmdline)
if [ -n "$root" ] && [ ! -e /root-is-here ]; then    # from the ramdisk into the filesystem that holds a copy
    modprobe -a virtio_scsi sd_mod ext4
    until [ -b "$root" ]; do
        busybox usleep 20000
    done
    busybox mount -t ext4 "$root" /mnt
    exec busybox switch_root /mnt /init
fi
busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none share /share

control() {
    busybox grep -sl '^control$' /sys/class/virtio-ports/*/name
}
until port=$(control); do       # ports get their names by a message of their own, a little later
    busybox usleep 20000
done
port=${port%/name}
exec 3<>"/dev/${port##*/}"
busybox ip link set lo up
echo "up $(busybox cut -d ' ' -f 1 /proc/uptime)" >&3
while read -r script <&3; do
    (cd /share && exec bash -euxo pipefail "./$script" </dev/null >"$script.out" 2>"$script.err" 3>&-)
    echo "$script $?" >&3
done
busybox sync
busybox poweroff -f
