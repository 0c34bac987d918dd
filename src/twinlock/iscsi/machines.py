"""All state machines of the protocol layer, as the documentation shows them and the tests walk them."""

from typing import Any

from twinlock.iscsi.chap import CHAP
from twinlock.iscsi.connection import CONNECTION
from twinlock.iscsi.login_phase import STAGES
from twinlock.iscsi.machine import StateMachine
from twinlock.iscsi.task import TASK
from twinlock.iscsi.text_exchange import TEXT

MACHINES: tuple[StateMachine[Any, Any, Any], ...] = (CONNECTION, STAGES, CHAP, TASK, TEXT)
