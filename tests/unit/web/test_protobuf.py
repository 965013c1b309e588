"""Pulls and settles in protobuf say what they say in the other forms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.web.answers import PullAnswer, Result, Settled, WireMessage
from fanout_app.web.codecs import MSGPACK, PROTOBUF, Form
from fanout_app.web.problems import Fault, Problem
from fanout_app.web.protobuf import fanout_pb2 as pb
from fanout_app.web.schemas import CanaryBody, PullBody, SettleBody
from fanout_app.web.validation import Body
from unit.web.harness import Served, serving

PULL = Body(PullBody)
SETTLE = Body(SettleBody)
BOTH_WAYS = {"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"}

_texts = st.text(max_size=10)
_numbers = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 1000)
_bytes = st.none() | st.binary(max_size=10)
_nacks = st.lists(st.fixed_dictionaries({}, optional={"lease": _texts, "delay_ms": _numbers, "reason": _texts}))
_extends = st.lists(st.fixed_dictionaries({}, optional={"lease": _texts, "ack_wait_ms": _numbers}))
_rejects = st.lists(st.fixed_dictionaries({}, optional={"lease": _texts, "reason": _texts}))
_settles = st.fixed_dictionaries(
    {},
    optional={
        "ack": st.lists(_texts), "nack": _nacks, "extend": _extends, "reject": _rejects, "durable": st.booleans(),
    },
)  # fmt: skip
_pulls = st.fixed_dictionaries(
    {},
    optional={
        "client": _texts, "group": _texts, "wait_ms": _numbers, "max_messages": _numbers, "max_bytes": _numbers,
        "ack_wait_ms": _numbers, "settle": _settles, "receive_id": _texts, "repeat": st.booleans(),
    },
)  # fmt: skip
_messages = st.builds(
    WireMessage, _texts, st.integers(0, 1 << 30), st.integers(0, 1 << 62), st.integers(0, 1 << 62),
    st.integers(1, 1 << 30), st.integers(0, 1 << 62), _bytes, _bytes, st.lists(st.tuples(_texts, _bytes), max_size=3),
)  # fmt: skip
_counts = st.integers(0, 1000)
_settled = st.builds(
    Settled, _counts, _counts, _counts, _counts, st.lists(st.builds(Result, _texts, _texts), max_size=3)
)


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


def outcome(body: Body, raw: bytes, form: Form) -> object:
    """What became of a request: its struct, or its faults."""
    try:
        return body.decode(raw, form)
    except Problem as problem:
        return problem.faults


def the_fault(body: Body, raw: bytes) -> Fault:
    with pytest.raises(Problem) as caught:
        body.decode(raw, PROTOBUF)
    assert caught.value.faults is not None
    (fault,) = caught.value.faults
    return fault


@given(_pulls)
def test_a_pull_says_what_it_says_in_msgpack(fields: dict[str, Any]) -> None:
    raw = pb.PullRequest(**fields).SerializeToString()
    assert outcome(PULL, raw, PROTOBUF) == outcome(PULL, msgspec.msgpack.encode(fields), MSGPACK)


@given(_settles)
def test_a_settle_says_what_it_says_in_msgpack(fields: dict[str, Any]) -> None:
    # A list without entries and no list are the same in protobuf, and a settle without one does as much.
    raw = pb.SettleRequest(**fields).SerializeToString()
    assert outcome(SETTLE, raw, PROTOBUF) == outcome(SETTLE, msgspec.msgpack.encode(fields), MSGPACK)


@given(st.lists(_messages, max_size=4), st.none() | _texts, _settled | st.just(msgspec.UNSET), st.booleans())
def test_an_answer_holds_the_same(messages: list[WireMessage], batch: str | None, settled: Any, encoded: bool) -> None:
    answer = PullAnswer("topic", "id", "client", batch, messages, msgspec.UNSET if messages else "no-message", settled)
    plain = msgspec.msgpack.decode(MSGPACK.encode(answer))
    if encoded and settled is not msgspec.UNSET:
        answer.settled = msgspec.Raw(PROTOBUF.encode(settled))

    read = pb.PullAnswer.FromString(PROTOBUF.encode(answer))

    assert (read.topic, read.id, read.client) == ("topic", "id", "client")
    assert (read.batch if read.HasField("batch") else None) == plain["batch"]
    assert (read.empty if read.HasField("empty") else None) == plain.get("empty")
    assert [_plain(message) for message in read.messages] == plain["messages"]
    assert read.HasField("settled") == ("settled" in plain)
    if "settled" in plain:
        expected = plain["settled"]
        counts = {name: getattr(read.settled, name) for name in ("acked", "nacked", "extended", "rejected")}
        results = [{"lease": result.lease, "status": result.status} for result in read.settled.results]
        assert {**counts, "results": results} == expected


def _plain(message: pb.Message) -> dict[str, Any]:
    numbers = ("partition", "offset", "timestamp_unix_ms", "delivery_count", "lease_ends_unix_ms")
    return {
        "lease": message.lease,
        **{name: getattr(message, name) for name in numbers},
        "key": message.key if message.HasField("key") else None,
        "value": message.value if message.HasField("value") else None,
        "headers": [[header.name, header.value if header.HasField("value") else None] for header in message.headers],
    }


@pytest.mark.parametrize("raw", [b"\xff", b"{}", b'{"wait_ms": 5}', b"\x0a\x05ab", b"\x0a\x01\xff"])
def test_what_is_no_protobuf_is_a_fault_of_the_body(raw: bytes) -> None:
    fault = the_fault(PULL, raw)
    assert (fault.field, "is not valid protobuf" in fault.detail) == ("body", True)


def test_a_field_that_the_schema_does_not_have_is_refused_by_its_number() -> None:
    raw = pb.PullRequest(settle=pb.SettleRequest(ack=["x"])).SerializeToString() + b"\x98\x06\x01"
    fault = the_fault(PULL, raw)
    assert (fault.field, fault.detail.startswith("unknown field")) == ("99", True)


def test_another_body_is_refused_with_what_to_send() -> None:
    fault = the_fault(Body(CanaryBody), b"")
    assert (fault.field, "send application/json" in fault.detail) == ("Content-Type", True)


async def test_it_goes_both_ways(there: Served) -> None:
    there.runtime.offer(b"\xff", key=b"k", headers=[("a", b"\xfe"), ("b", None)])
    body = pb.PullRequest(client="ann", wait_ms=0).SerializeToString()
    status, headers, raw = await there.ask("POST", "/v1/pull", data=body, headers=BOTH_WAYS)
    assert (status, headers["Content-Type"]) == (200, "application/x-protobuf")
    (message,) = pb.PullAnswer.FromString(raw).messages
    assert (message.key, message.value) == (b"k", b"\xff")
    there.runtime.offer(b"next")
    body = pb.PullRequest(client="ann", wait_ms=0, settle=pb.SettleRequest(ack=[message.lease])).SerializeToString()
    _, _, raw = await there.ask("POST", "/v1/pull", data=body, headers=BOTH_WAYS)
    answer = pb.PullAnswer.FromString(raw)
    assert (answer.settled.acked, [message.value for message in answer.messages]) == (1, [b"next"])
    body = pb.SettleRequest(ack=[answer.batch]).SerializeToString()
    status, _, raw = await there.ask("POST", "/v1/settle", data=body, headers=BOTH_WAYS)
    assert (status, pb.SettleAnswer.FromString(raw).acked) == (200, 1)


async def test_a_settle_of_nothing_is_answered_all_the_same(there: Served) -> None:
    there.runtime.offer(b"x")
    body = pb.PullRequest(client="ann", wait_ms=0, settle=pb.SettleRequest()).SerializeToString()
    _, _, raw = await there.ask("POST", "/v1/pull", data=body, headers=BOTH_WAYS)
    answer = pb.PullAnswer.FromString(raw)
    assert (len(answer.messages), answer.HasField("settled"), answer.settled.acked) == (1, True, 0)


async def test_a_problem_is_json_all_the_same(there: Served) -> None:
    body = pb.PullRequest(wait_ms=-1).SerializeToString()
    status, headers, problem = await there.ask("POST", "/v1/pull", data=body, headers=BOTH_WAYS)
    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert [fault["field"] for fault in problem["errors"]] == ["wait_ms"]


async def test_what_operators_ask_for_is_not_served_in_it(there: Served) -> None:
    status, _, problem = await there.ask("GET", "/v1/status", headers={"Accept": "application/x-protobuf"})
    assert (status, "application/msgpack" in problem["detail"]) == (406, True)
