"""One initiator at a time: the cases of the newcomer."""

import pytest

from twinlock.server.admission import Admission


class FakeHolder:
    """A session that answers pings or not, and remembers what became of it."""

    def __init__(self, name: str, isid: bytes = b"\0" * 6, *, alive: bool = True, over: bool = False) -> None:
        self.nexus = (name, isid)
        self.alive = alive
        self.over = over
        self.pinged = 0
        self.gone = False

    def is_over(self) -> bool:
        return self.over

    def is_gone(self) -> bool:
        return self.gone

    def answers_ping(self, patience: float) -> bool:
        self.pinged += 1
        return self.alive

    def evict(self) -> None:
        self.over = True


OTHER_ISID = b"\1" * 6


@pytest.mark.parametrize(
    ("holder", "newcomer", "admitted", "pinged"),
    [
        (FakeHolder("mac"), FakeHolder("pc"), False, 1),
        (FakeHolder("mac", alive=False), FakeHolder("pc"), True, 1),
        (FakeHolder("mac"), FakeHolder("mac"), True, 0),
        (FakeHolder("mac"), FakeHolder("mac", OTHER_ISID), False, 1),
        (FakeHolder("mac", alive=False), FakeHolder("mac", OTHER_ISID), True, 1),
        (FakeHolder("mac", over=True), FakeHolder("pc"), True, 0),
    ],
    ids=["living holder", "silent holder", "reinstatement", "other ISID", "other ISID, silent", "gone"],
)
def test_newcomer(holder: FakeHolder, newcomer: FakeHolder, admitted: bool, pinged: int) -> None:
    admission = Admission(10.0)
    was_over = holder.over
    holder.over = False
    assert admission.admit(holder)
    holder.over = was_over
    assert admission.admit(newcomer) is admitted
    assert holder.pinged == pinged
    assert admission.holder is (newcomer if admitted else holder)
    if admitted:
        assert holder.over, "the old session must have ended before the new one begins"


def test_a_newcomer_that_is_gone_evicts_nobody() -> None:
    """An abandoned attempt of the same initiator must not end the session that came after it."""
    admission, holder, late = Admission(10.0), FakeHolder("mac"), FakeHolder("mac")
    assert admission.admit(holder)
    late.gone = True
    assert not admission.admit(late)
    assert admission.holder is holder


def test_nobody_is_admitted_to_what_is_closing() -> None:
    admission = Admission(10.0)
    admission.close()
    assert not admission.admit(FakeHolder("mac"))
