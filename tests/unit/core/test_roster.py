"""Who is present: by the time of receipt, and by name."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from fanout_app.core.errors import RowError
from fanout_app.core.heartbeat_row import FORMAT, decode_heartbeat, encode_heartbeat
from fanout_app.core.roster import Absentees, Heartbeat, Roster

BEAT = Heartbeat(
    worker="b",
    address="http://10.0.0.1:6066",
    partitions=(0, 2),
    generation=3,
    waiting_messages=10,
    waiting_pulls=1,
    epoch=None,
    misses_epoch=None,
)


def beat(worker: str) -> Heartbeat:
    return replace(BEAT, worker=worker)


def names(beats: list[Heartbeat]) -> list[str]:
    return [beat.worker for beat in beats]


def test_those_heard_are_present_by_name_and_the_silent_are_not() -> None:
    roster = Roster("b", 3.0)
    for at, worker in enumerate(("c", "b", "a")):
        roster.heard(at, beat(worker))
    assert names(roster.present(3.0)) == ["a", "b", "c"]
    assert names(roster.peers(3.0)) == ["a", "c"]
    assert names(roster.present(3.1)) == ["a", "b"]
    assert roster.unheard(3.5, "a") == 1.5
    assert names(roster.present(99.0)) == ["b"], "whoever asks is there itself"
    assert roster.peers(99.0) == []


def test_the_latest_heartbeat_counts() -> None:
    roster = Roster("me", 3.0)
    roster.heard(0.0, beat("a"))
    roster.heard(1.0, replace(BEAT, worker="a", partitions=(7,)))
    assert [one.partitions for one in roster.present(1.0)] == [(7,)]


def test_who_has_left_is_gone_at_once_and_may_come_back() -> None:
    roster = Roster("me", 3.0)
    roster.heard(0.0, beat("a"))
    roster.heard(0.0, beat("me"))
    roster.left("a")
    roster.left("nobody")
    roster.left("me")
    assert names(roster.present(0.0)) == ["me"]
    roster.heard(0.0, beat("a"))
    assert names(roster.present(0.0)) == ["a", "me"]


def test_who_is_unheard_of_for_so_many_turns_is_an_absentee_until_wiped() -> None:
    absentees = Absentees(2)
    absentees.seen("dead")
    absentees.seen("alive")
    assert absentees.turn() == []
    absentees.seen("alive")
    assert absentees.turn() == []
    absentees.seen("alive")
    assert absentees.turn() == ["dead"]
    assert absentees.turn() == ["dead"], "the first tombstone may have been lost"
    absentees.wiped("dead")
    absentees.wiped("dead")
    assert absentees.turn() == ["alive"]


def test_fields_that_a_newer_version_adds_are_passed_over() -> None:
    fields = msgspec.msgpack.decode(encode_heartbeat(BEAT, id="i", topic="t")[1:])
    longer = bytes((FORMAT,)) + msgspec.msgpack.encode([*fields, "new", None])
    assert decode_heartbeat(longer, id="i", topic="t") == BEAT


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "nothing"),
        (bytes((FORMAT + 1,)) + b"\x90", "format 02"),
        (bytes((FORMAT,)) + b"\x90", "damaged"),
        (bytes((FORMAT,)) + b"\xff\xff", "damaged"),
        (encode_heartbeat(BEAT, id="a", topic="b_c"), "--id a --topic b_c"),
    ],
)
def test_what_is_no_heartbeat_of_ours_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(RowError, match=said):
        decode_heartbeat(data, id="a_b", topic="c")
