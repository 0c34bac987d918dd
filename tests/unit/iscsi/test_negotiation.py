import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.errors import ProtocolError
from twinlock.iscsi.negotiation import Negotiation, unique
from twinlock.iscsi.parameters import KEYS, PREFERENCES, Parameters
from twinlock.wire.iscsi_codes import Stage


def negotiation(preferences: Parameters = PREFERENCES, *, discovery: bool = False) -> Negotiation:
    return Negotiation(preferences, discovery=discovery)


def answer(key: str, value: str, preferences: Parameters = PREFERENCES) -> str | None:
    return negotiation(preferences).answer({key: value}, Stage.OPERATIONAL).get(key)


EAGER = Parameters(initial_r2t=False, immediate_data=False)

# key, value, answer with the usual preferences, answer with EAGER's
CASES = [
    ("HeaderDigest", "None", "None", "None"),
    ("HeaderDigest", "CRC32C,None", "CRC32C", "CRC32C"),
    ("HeaderDigest", "None,CRC32C", "None", "None"),
    ("HeaderDigest", "SHA1,CRC32C", "CRC32C", "CRC32C"),
    ("HeaderDigest", "crc32c", "Reject", "Reject"),
    ("DataDigest", "CRC32C", "CRC32C", "CRC32C"),
    ("DataDigest", "None,CRC32C", "None", "None"),
    ("DataDigest", "SHA1", "Reject", "Reject"),
    ("MaxConnections", "8", "1", "1"),
    ("MaxConnections", "0", "Reject", "Reject"),
    ("InitialR2T", "Yes", "Yes", "Yes"),
    ("InitialR2T", "No", "Yes", "No"),
    ("InitialR2T", "yes", "Reject", "Reject"),
    ("ImmediateData", "Yes", "Yes", "No"),
    ("ImmediateData", "No", "No", "No"),
    ("MaxBurstLength", "16776192", "262144", "262144"),
    ("MaxBurstLength", "0x1000", "4096", "4096"),
    ("MaxBurstLength", "511", "Reject", "Reject"),
    ("FirstBurstLength", "262144", "65536", "65536"),
    ("FirstBurstLength", "512", "512", "512"),
    ("FirstBurstLength", "banana", "Reject", "Reject"),
    ("DefaultTime2Wait", "0", "2", "2"),
    ("DefaultTime2Wait", "30", "30", "30"),
    ("DefaultTime2Retain", "20", "0", "20"),
    ("DefaultTime2Retain", "3601", "Reject", "Reject"),
    ("MaxOutstandingR2T", "16", "8", "1"),
    ("MaxOutstandingR2T", "1", "1", "1"),
    ("DataPDUInOrder", "No", "Yes", "Yes"),
    ("DataSequenceInOrder", "No", "Yes", "Yes"),
    ("ErrorRecoveryLevel", "2", "0", "0"),
    ("ErrorRecoveryLevel", "3", "Reject", "Reject"),
    ("TaskReporting", "FastAbort,RFC3720", "RFC3720", "RFC3720"),
    ("iSCSIProtocolLevel", "2", "1", "1"),
    ("IFMarker", "Yes", "No", "No"),
    ("OFMarker", "No", "No", "No"),
    ("OFMarkInt", "2048~8192", "Reject", "Reject"),
    ("IFMarkInt", "512", "Reject", "Reject"),
    ("RDMAExtensions", "Yes", "NotUnderstood", "NotUnderstood"),
    ("X-com.example.key", "1", "NotUnderstood", "NotUnderstood"),
    ("SendTargets", "All", "Reject", "Reject"),
    ("AuthMethod", "None", "Reject", "Reject"),
    ("MaxRecvDataSegmentLength", "4096", None, None),
    ("MaxRecvDataSegmentLength", "100", "Reject", "Reject"),
    ("InitiatorAlias", "laptop", None, None),
]


@pytest.mark.parametrize(("key", "value", "usual", "eager"), CASES)
def test_answers(key: str, value: str, usual: str | None, eager: str | None) -> None:
    assert (answer(key, value), answer(key, value, EAGER)) == (usual, eager)


def test_every_key_of_the_table_is_among_the_cases() -> None:
    elsewhere = {"InitiatorName", "TargetName", "SessionType"}  # part of every login
    assert {key.name for key in KEYS} - elsewhere <= {case[0] for case in CASES}


def test_what_is_not_negotiated_has_the_defaults_of_the_standard() -> None:
    fresh = negotiation()
    assert fresh.parameters == Parameters()
    assert (fresh.parameters.max_outstanding_r2t, fresh.parameters.default_time2retain) == (1, 20)


def test_results_come_into_force() -> None:
    agreed = negotiation()
    agreed.answer({"MaxBurstLength": "8192", "MaxRecvDataSegmentLength": "1024"}, Stage.OPERATIONAL)
    assert agreed.parameters == Parameters(max_burst_length=8192, initiator_data_segment=1024)


def test_first_burst_is_irrelevant_without_unsolicited_data() -> None:
    keys = {"FirstBurstLength": "4096", "InitialR2T": "Yes", "ImmediateData": "No"}
    assert negotiation().answer(keys, Stage.OPERATIONAL)["FirstBurstLength"] == "Irrelevant"


def test_a_discovery_session_has_no_use_for_data_keys() -> None:
    keys = {"MaxBurstLength": "4096", "DefaultTime2Wait": "2", "InitialR2T": "Yes"}
    assert negotiation(discovery=True).answer(keys, Stage.OPERATIONAL) == {
        "MaxBurstLength": "Irrelevant",
        "DefaultTime2Wait": "2",
        "InitialR2T": "Irrelevant",
    }


@pytest.mark.parametrize("stage", [Stage.SECURITY, Stage.FULL_FEATURE])
def test_operational_keys_have_their_stage(stage: Stage) -> None:
    agreed = negotiation()
    assert agreed.answer({"MaxBurstLength": "4096"}, stage) == {"MaxBurstLength": "Reject"}
    assert agreed.parameters == Parameters()


def test_a_key_is_negotiated_once_but_declared_again() -> None:
    agreed = negotiation()
    for length in ("512", "1024"):
        agreed.answer({"MaxRecvDataSegmentLength": length}, Stage.FULL_FEATURE)
    assert agreed.parameters.initiator_data_segment == 1024
    agreed.answer({"InitialR2T": "Yes"}, Stage.OPERATIONAL)
    with pytest.raises(ProtocolError, match="InitialR2T was negotiated before"):
        agreed.answer({"InitialR2T": "Yes"}, Stage.OPERATIONAL)


def test_a_key_sent_twice_in_one_text() -> None:
    assert unique([("A", "1"), ("A", "1"), ("B", "2")]) == {"A": "1", "B": "2"}
    with pytest.raises(ProtocolError, match="A was sent twice"):
        unique([("A", "1"), ("A", "2")])


@given(
    st.dictionaries(st.sampled_from([key.name for key in KEYS] + ["X-new"]), st.text(max_size=20)),
    st.sampled_from(Stage),
    st.booleans(),
)
def test_any_key_in_any_stage_with_any_value(keys: dict[str, str], stage: Stage, discovery: bool) -> None:
    agreed = negotiation(discovery=discovery)
    answers = agreed.answer(keys, stage)
    assert answers.keys() <= keys.keys()
    assert agreed.parameters.error_recovery_level == 0
    assert agreed.parameters.max_connections == 1
    assert 512 <= agreed.parameters.max_burst_length <= 262144
