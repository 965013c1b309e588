"""Bodies and queries: every fault is named, by its field; what is right becomes what the core takes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct

from fanout_app.core.requests import LeaseRef, Pull
from fanout_app.identity import Identity
from fanout_app.web.codecs import JSON, MSGPACK, OF_MESSAGES, Form
from fanout_app.web.problems import Fault, Problem
from fanout_app.web.schemas import ExtendQuery, NackQuery, NextQuery, PullBody, RejectQuery, SettleBody
from fanout_app.web.tokens import UnknownKey
from fanout_app.web.translation import pull_of, settle_of
from fanout_app.web.validation import Body, query

PULL = Body(PullBody)
SETTLE = Body(SettleBody)
REF = LeaseRef(0, 0, 5, 1, 7)


def _fields(body: Body, raw: bytes, form: Form = JSON) -> list[str]:
    with pytest.raises(Problem) as caught:
        body.decode(raw, form)
    assert caught.value.kind.status == 400
    assert all(fault.detail for fault in caught.value.faults)
    return sorted(fault.field for fault in caught.value.faults)


def _faults(raw: bytes, form: Form = JSON) -> list[Fault] | None:
    """The faults of a pull; None where it has none."""
    try:
        PULL.decode(raw, form)
    except Problem as problem:
        return problem.faults
    return None


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"max_message": 1}, ["max_message"]),
        ({"wait_ms": -1}, ["wait_ms"]),
        ({"wait_ms": 50_001}, ["wait_ms"]),
        ({"wait_ms": "5"}, ["wait_ms"]),
        ({"wait_ms": 1.5}, ["wait_ms"]),
        ({"wait_ms": None}, ["wait_ms"]),
        ({"wait_ms": True}, ["wait_ms"]),
        ({"wait_ms": 10**40}, ["wait_ms"]),
        ({"max_messages": 0}, ["max_messages"]),
        ({"max_messages": 1001}, ["max_messages"]),
        ({"max_bytes": 0}, ["max_bytes"]),
        ({"max_bytes": (16 << 20) + 1}, ["max_bytes"]),
        ({"ack_wait_ms": 49}, ["ack_wait_ms"]),
        ({"ack_wait_ms": 43_200_001}, ["ack_wait_ms"]),
        ({"encoding": "latin1"}, ["encoding"]),
        ({"encoding": 8}, ["encoding"]),
        ({"client": 7}, ["client"]),
        ({"group": ["stable"]}, ["group"]),
        ({"settle": []}, ["settle"]),
        ({"settle": {"acks": []}}, ["settle.acks"]),
        ({"settle": {"ack": "token"}}, ["settle.ack"]),
        ({"settle": {"ack": ["a", 5, None]}}, ["settle.ack[1]", "settle.ack[2]"]),
        ({"settle": {"nack": [{"lease": "a"}, {}]}}, ["settle.nack[1].lease"]),
        ({"settle": {"nack": [{"lease": "a", "delay_ms": 86_400_001}]}}, ["settle.nack[0].delay_ms"]),
        ({"settle": {"extend": [{"lease": "a", "ack_wait_ms": 1}]}}, ["settle.extend[0].ack_wait_ms"]),
        ({"settle": {"reject": [{"lease": "a", "reason": "x" * 4097}]}}, ["settle.reject[0].reason"]),
        ({"settle": {"durable": "yes"}}, ["settle.durable"]),
        ({"settle": {"ack": ["t"] * 1001}}, ["settle.ack"]),
        ([], ["body"]),
        ("text", ["body"]),
        (None, ["body"]),
        (
            {"x": 1, "wait_ms": 1 << 70, "client": None, "settle": {"nack": [{"leas": 1}]}},
            ["client", "settle.nack[0].leas", "settle.nack[0].lease", "wait_ms", "x"],
        ),
    ],
)
def test_every_fault_of_a_pull_is_named_in_both_encodings(body: Any, fields: list[str]) -> None:
    assert _fields(PULL, json.dumps(body).encode()) == fields
    try:
        raw = msgspec.msgpack.encode(body)
    except OverflowError:  # no such number in msgpack
        return
    assert _fields(PULL, raw, MSGPACK) == fields


@pytest.mark.parametrize(
    "raw",
    [b"[", b"{", b"nonsense", b"\xff", b'{"wait_ms": 5', b'{"wait_ms": 5} 6', b"[" * 100_000, b'{"x":' * 100_000,
     b'{"client": "\xff"}', b'{"client": "\\ud800"}', b"\x00"],
)  # fmt: skip
def test_what_is_no_json_at_all_is_a_fault_of_the_body(raw: bytes) -> None:
    assert _fields(PULL, raw) in (["body"], ["x"], ["client"])


def test_numbers_out_of_all_range_do_not_hide_their_field() -> None:
    assert _fields(PULL, b'{"wait_ms": 1e999}') == ["wait_ms"]
    assert _fields(PULL, b'{"wait_ms": ' + b"9" * 5000 + b"}") == ["wait_ms"]


@given(st.binary(max_size=60), st.sampled_from(OF_MESSAGES))
def test_no_bytes_are_more_than_a_fault(raw: bytes, form: Form) -> None:
    assert _faults(raw, form) != []


_names = st.sampled_from(["wait_ms", "max_messages", "client", "settle", "encoding", "ack", "nack", "lease", "x"])
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "utf8", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_names, _json, max_size=4))
def test_the_slow_look_for_faults_finds_them_where_the_decoder_does(body: dict[str, object]) -> None:
    raw = json.dumps(body).encode()
    faults = _faults(raw)
    if faults is None:
        assert body.keys() <= {"wait_ms", "max_messages", "client", "settle", "encoding"}
    else:
        # The decoder's own fault is only told where field by field none was found: that must not be needed here.
        assert all(fault.field != "body" for fault in faults)


def test_faults_beyond_a_hundred_are_not_listed() -> None:
    assert len(_fields(SETTLE, json.dumps({f"x{number}": 1 for number in range(1000)}).encode())) == 100


def test_the_detail_says_what_would_be_right() -> None:
    with pytest.raises(Problem) as caught:
        PULL.decode(b'{"max_messages": 1001, "encoding": "x", "waitms": 1}', JSON)
    details = {fault.field: fault.detail for fault in caught.value.faults}
    assert details["max_messages"] == "expected int <= 1000, got 1001"
    assert details["encoding"] == "expected one of base64, utf8"
    assert "wait_ms" in details["waitms"]


# Queries -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        (NextQuery, {"wait": "5"}, "wait"),
        (NextQuery, {"wait_ms": "-1"}, "wait_ms"),
        (NextQuery, {"wait_ms": "soon"}, "wait_ms"),
        (NextQuery, {"wait_ms": ""}, "wait_ms"),
        (NextQuery, {"max_messages": "5"}, "max_messages"),
        (NackQuery, {"delay_ms": "86400001"}, "delay_ms"),
        (ExtendQuery, {"ack_wait_ms": "49"}, "ack_wait_ms"),
        (RejectQuery, {"reason": "x" * 4097}, "reason"),
    ],
)
def test_every_fault_of_a_query_is_named(kind: type[Struct], given: dict[str, str], field: str) -> None:
    with pytest.raises(Problem) as caught:
        query(kind, given, list(given))
    assert [fault.field for fault in caught.value.faults] == [field]


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        query(NextQuery, {"wait_ms": "5"}, ["wait_ms", "wait_ms"])
    assert [fault.field for fault in caught.value.faults] == ["wait_ms"]


def test_a_query_is_text_made_numbers() -> None:
    found = query(NextQuery, {"wait_ms": "5", "client": "12"}, ["wait_ms", "client"])
    assert (found.wait_ms, found.client, found.group) == (5, "12", UNSET)


# To the core's values ------------------------------------------------------------------------------------------------


def test_an_empty_body_asks_for_the_defaults_of_the_contract() -> None:
    body = PULL.decode(b"{}", JSON)
    assert (body.wait_ms, body.encoding) == (20_000, "base64")
    pull, anonymous = pull_of(body, "ann", 30.0)
    assert pull == Pull(client="ann", group="stable", max_messages=1, max_bytes=1 << 20, ack_wait=30.0)
    assert not anonymous


def test_a_body_is_taken_by_its_word() -> None:
    raw = b'{"client":"bob","group":"canary","max_messages":9,"max_bytes":7,"ack_wait_ms":1500}'
    asked = pull_of(PULL.decode(raw, JSON), "ann", 30.0)
    assert asked.pull == Pull(client="bob", group="canary", max_messages=9, max_bytes=7, ack_wait=1.5)


def test_without_a_name_one_is_made_up_each_time() -> None:
    one, other = pull_of(PullBody(), None, 30.0), pull_of(PullBody(), None, 30.0)
    assert one.anonymous
    assert one.pull.client.startswith("anon-")
    assert one.pull.client != other.pull.client


def test_in_broadcast_a_client_without_a_group_is_one_of_its_own_name() -> None:
    assert pull_of(PullBody(), "ann", 30.0, broadcast=True).pull.group == "ann"
    assert pull_of(PullBody(client="e\u0301"), None, 30.0, broadcast=True).pull.group == "\u00e9"
    assert pull_of(PullBody(group="g"), "ann", 30.0, broadcast=True).pull.group == "g"
    assert pull_of(PullBody(group="g"), None, 30.0, broadcast=True).pull.group == "g"
    assert pull_of(PullBody(), None, 30.0, Identity(roles=frozenset(), group="g"), broadcast=True).pull.group == "g"
    with pytest.raises(Problem) as caught:
        pull_of(PullBody(), None, 30.0, broadcast=True)
    assert (caught.value.kind.status, [fault.field for fault in caught.value.faults]) == (400, ["client"])


@pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "a\tb", "\x7f", "a\u00a0b", "\ud800", "a\u200bb"])
def test_names_that_nobody_could_read_are_refused_wherever_they_stand(name: str) -> None:
    for body, header, field in (
        (PullBody(client=name), None, "client"),
        (NextQuery(client=name), None, "client"),
        (PullBody(), name, "Fanout-Client"),
        (PullBody(client="ann", group=name), None, "group"),
    ):
        with pytest.raises(Problem) as caught:
            pull_of(body, header, 30.0)
        assert [fault.field for fault in caught.value.faults] == [field]


def test_names_that_look_the_same_are_the_same() -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert pull_of(PullBody(client=decomposed), None, 30.0).pull.client == composed
    assert pull_of(PullBody(client="e\u0301" * 200), None, 30.0).pull.client == "\u00e9" * 200


def test_the_entries_of_a_settle_keep_what_was_said_of_them() -> None:
    raw = json.dumps(
        {
            "ack": ["a"],
            "nack": [{"lease": "b"}, {"lease": "c", "delay_ms": 1500, "reason": "busy"}],
            "extend": [{"lease": "d"}, {"lease": "e", "ack_wait_ms": 500}],
            "reject": [{"lease": "f", "reason": "broken"}],
            "durable": False,
        }
    ).encode()
    settle, unread = settle_of(SETTLE.decode(raw, JSON), lambda token: REF, 12.0)
    assert [(entry.token, entry.ref) for entry in settle.ack] == [("a", REF)]
    assert [(entry.delay, entry.reason) for entry in settle.nack] == [(None, ""), (1.5, "busy")]
    assert [(entry.token, entry.ack_wait) for entry in settle.extend] == [("d", 12.0), ("e", 0.5)]
    assert [(entry.token, entry.reason) for entry in settle.reject] == [("f", "broken")]
    assert not settle.durable
    assert unread == []


def test_tokens_of_a_key_not_read_yet_are_kept_from_the_core() -> None:
    def read(token: str) -> LeaseRef | UnknownKey:
        return UnknownKey.UNKNOWN_KEY if token.startswith("new") else REF

    body = msgspec.convert(
        {"ack": ["new 1", "old"], "nack": [{"lease": "new 2"}], "extend": [{"lease": "new 3"}, {"lease": "old"}]},
        SettleBody,
    )
    settle, unread = settle_of(body, read, 30.0)
    assert [entry.token for entry in (*settle.extend, *settle.nack, *settle.ack)] == ["old", "old"]
    assert sorted(unread) == ["new 1", "new 2", "new 3"]
