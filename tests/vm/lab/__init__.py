"""A stock Debian kernel with mdadm and cryptsetup in a virtual machine: the judge of what is on disk.

apt downloads the packages (nothing is installed, root is not needed), they are unpacked into one
initial ramdisk, and QEMU starts it without hardware virtualisation.  What was built is kept in
``${XDG_CACHE_HOME:-~/.cache}/twinlock/vmlab``, which may be deleted at any time.

* ``host-packages.txt``   Debian packages that the lab and its tests need installed
* ``guest-packages.txt``  Debian packages that are unpacked into the guest
* ``guest-modules.txt``   kernel modules that are kept, with what they depend on
* ``packages.py``         apt as a downloader
* ``kernel.py``           the bootable kernel and the choice of modules
* ``ramdisk.py``          a folder as a cpio archive
* ``tools.py``            the host's commands
* ``artefacts.py``        all of it built once, under a lock
* ``machine.py``          QEMU, and scripts run in the guest
* ``init.sh``             the guest's first process
"""

from tests.vm.lab.artefacts import Artefacts, build
from tests.vm.lab.machine import GuestError, Machine, switched_on

__all__ = ["Artefacts", "GuestError", "Machine", "build", "switched_on"]
