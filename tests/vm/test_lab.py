"""The lab itself: a script that fails says why, and what the guest makes can be read by the host's tools."""

import pytest

from tests.vm import files, stack
from tests.vm.backup import Backup
from tests.vm.conftest import Guest
from tests.vm.lab import GuestError
from tests.vm.members import payload_offset

pytestmark = pytest.mark.vm


def test_the_guest_is_a_stock_linux(guest: Guest, backup: Backup) -> None:
    for member in backup.members:
        files.sparse(member, 128 * files.MIB)
    with guest() as machine:
        with pytest.raises(GuestError, match=r"status 2\n(.|\n)*\+ ls /nowhere"):
            machine.run("echo first\nls /nowhere | cat\necho not reached")
        machine.run(stack.create(512, "argon2id"))
        machine.run(stack.CLOSE)
    assert [payload_offset(member) for member in backup.members] == [17 * files.MIB] * 2
