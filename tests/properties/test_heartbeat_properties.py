"""Whatever a heartbeat says is read back from its bytes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.heartbeat_row import decode_heartbeat, encode_heartbeat
from fanout_app.core.roster import Heartbeat

numbers = st.integers(0, 2**63 - 1)
heartbeats = st.builds(
    Heartbeat,
    worker=st.text(),
    address=st.text(),
    partitions=st.lists(numbers).map(tuple),
    generation=numbers,
    waiting_messages=numbers,
    waiting_pulls=numbers,
    epoch=st.none() | numbers,
    misses_epoch=st.none() | numbers,
    sent_at=st.floats(0, 1e9),
)


@given(heartbeats)
def test_a_heartbeat_is_read_back_as_it_was(heartbeat: Heartbeat) -> None:
    assert decode_heartbeat(encode_heartbeat(heartbeat, id="i", topic="t"), id="i", topic="t") == heartbeat
