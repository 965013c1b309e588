"""The leader's record as bytes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.errors import RowError
from fanout_app.core.following import Leader
from fanout_app.core.leader_row import FORMAT, decode_leader, encode_leader

LEADER = Leader(worker="w", address="http://10.0.0.1:6066", epoch=4294967300)


@given(st.builds(Leader, worker=st.text(), address=st.text(), epoch=st.integers(0, 2**63 - 1)))
def test_the_record_is_read_back_as_it_was(leader: Leader) -> None:
    assert decode_leader(encode_leader(leader, id="i", topic="t"), id="i", topic="t") == leader


def test_fields_that_a_newer_version_adds_are_passed_over() -> None:
    fields = msgspec.msgpack.decode(encode_leader(LEADER, id="i", topic="t")[1:])
    longer = bytes((FORMAT,)) + msgspec.msgpack.encode([*fields, "new", None])
    assert decode_leader(longer, id="i", topic="t") == LEADER


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "nothing"),
        (bytes((FORMAT + 1,)) + b"\x90", "format 02"),
        (bytes((FORMAT,)) + b"\x90", "damaged"),
        (encode_leader(LEADER, id="a", topic="b_c"), "--id a --topic b_c"),
    ],
)
def test_what_is_no_record_of_ours_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(RowError, match=said):
        decode_leader(data, id="a_b", topic="c")
