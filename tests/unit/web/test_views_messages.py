"""Pull, next and settle over HTTP, with the real core behind them."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import AsyncIterator

import msgspec
import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.tokens import TokenCodec
from support.eventually import eventually
from unit.web.fake_runtime import START_UNIX_MS, FakeRuntime
from unit.web.harness import Served, serving

pytestmark = pytest.mark.usefixtures("heads")

TRACE = b"00-%s-%s-01" % (b"a" * 32, b"b" * 16)


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


# Pull ----------------------------------------------------------------------------------------------------------------


async def test_a_pull_is_answered_with_all_of_the_message(there: Served) -> None:
    there.runtime.offer(b"\x00\xff", key=b"k", headers=[("a", b"1"), ("a", b""), ("b", None)])
    answer = await there.pull(client="ann", ack_wait_ms=1500)
    (message,) = answer.pop("messages")
    assert answer.keys() == {"topic", "id", "client", "batch"}
    assert (answer["topic"], answer["id"], answer["client"]) == ("orders", "orders-id", "ann")
    assert there.codec.read(message.pop("lease")) is not None
    assert message == {
        "partition": 0,
        "offset": 0,
        "timestamp_unix_ms": START_UNIX_MS - 5000,
        "delivery_count": 1,
        "lease_ends_unix_ms": START_UNIX_MS + 1500,
        "key": base64.b64encode(b"k").decode(),
        "value": base64.b64encode(b"\x00\xff").decode(),
        "headers": [["a", "MQ=="], ["a", ""], ["b", None]],
    }


async def test_null_and_empty_differ(there: Served) -> None:
    there.runtime.offer(None, b"")
    messages = (await there.pull())["messages"]
    assert [message["value"] for message in messages] == [None, ""]
    assert [message["key"] for message in messages] == [None, None]


async def test_text_is_text_where_all_of_it_is(there: Served) -> None:
    there.runtime.offer("é".encode(), key=b"k", headers=[("a", b"x"), ("b", None)])
    there.runtime.offer(b"v", key=b"\xff", headers=[("a", b"x")])
    there.runtime.offer(b"v", headers=[("a", b"\xff")])
    there.runtime.offer(None)
    text, bad_key, bad_header, null = (await there.pull(encoding="utf8"))["messages"]
    assert (text["key"], text["value"], text["headers"]) == ("k", "é", [["a", "x"], ["b", None]])
    assert "encoding" not in text
    assert (bad_key["key"], bad_key["value"], bad_key["headers"]) == ("/w==", "dg==", [["a", "eA=="]])
    assert bad_key["encoding"] == bad_header["encoding"] == "base64"
    assert (null["value"], "encoding" in null) == (None, False)


async def test_msgpack_carries_bytes_both_ways(there: Served) -> None:
    there.runtime.offer(b"\xff", key=b"k", headers=[("a", b"\xfe"), ("b", None)])
    body = msgspec.msgpack.encode({"client": "ann", "wait_ms": 0, "encoding": "utf8"})
    headers = {"Content-Type": "application/msgpack", "Accept": "application/msgpack"}
    status, answered, raw = await there.ask("POST", "/v1/pull", data=body, headers=headers)
    assert (status, answered["Content-Type"]) == (200, "application/msgpack")
    answer = msgspec.msgpack.decode(raw)
    (message,) = answer["messages"]
    assert (message["key"], message["value"], message["headers"]) == (b"k", b"\xff", [["a", b"\xfe"], ["b", None]])
    assert "encoding" not in message
    body = msgspec.msgpack.encode({"ack": [message["lease"]]})
    status, _, raw = await there.ask("POST", "/v1/settle", data=body, headers=headers)
    assert (status, msgspec.msgpack.decode(raw)["acked"]) == (200, 1)


async def test_a_body_that_says_it_is_a_form_is_json_all_the_same(there: Served) -> None:
    there.runtime.offer(b"x")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    status, _, answer = await there.ask("POST", "/v1/pull", data=b'{"wait_ms": 0, "client": "curl"}', headers=headers)
    assert (status, answer["client"]) == (200, "curl")


async def test_no_body_asks_for_one_message_as_nobody_in_particular(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    status, _, answer = await there.ask("POST", "/v1/pull")
    assert (status, len(answer["messages"])) == (200, 1)
    assert answer["client"].startswith("anon-")


async def test_the_header_names_the_client_where_the_body_does_not(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    headers = {"Fanout-Client": "from the header"}
    _, _, answer = await there.ask("POST", "/v1/pull", json={}, headers=headers)
    assert answer["client"] == "from the header"
    _, _, answer = await there.ask("POST", "/v1/pull", json={"client": "body"}, headers=headers)
    assert answer["client"] == "body"


async def test_a_pull_waits_until_there_is_a_message(there: Served) -> None:
    asking = asyncio.create_task(there.pull(wait_ms=50_000))
    await eventually(there.runtime.pulls)
    there.runtime.offer(b"late")
    assert [message["offset"] for message in (await asking)["messages"]] == [0]


async def test_nothing_is_204_and_says_why(there: Served) -> None:
    status, headers, body = await there.ask("POST", "/v1/pull", json={"client": "ann", "wait_ms": 0})
    assert (status, headers["Fanout-Empty"], body) == (204, "no-message", b"")
    assert "Fanout-Client" not in headers
    status, headers, _ = await there.ask("POST", "/v1/pull", json={"client": "ann", "wait_ms": 0, "group": "canary"})
    assert (status, headers["Fanout-Empty"]) == (204, "weight-zero")
    status, headers, _ = await there.ask("POST", "/v1/pull", json={"wait_ms": 0})
    assert headers["Fanout-Client"].startswith("anon-")


async def test_an_ack_rides_along_and_is_done_first() -> None:
    async with serving(FakeRuntime(Limits(client_limit=1))) as there:
        there.runtime.offer(b"a", b"b")
        first = await there.pull(max_messages=1)
        # At its limit the client gets more only because its ack is done before.
        second = await there.pull(max_messages=1, settle={"ack": [first["batch"]]})
        assert second["settled"] == {"acked": 1, "nacked": 0, "extended": 0, "rejected": 0, "results": []}
        assert [message["offset"] for message in second["messages"]] == [1]
        third = await there.pull(settle={"ack": [second["batch"], "nonsense"]})
        assert (third["messages"], third["empty"], third["batch"]) == ([], "no-message", None)
        assert third["settled"]["acked"] == 1
        assert third["settled"]["results"] == [{"lease": "nonsense", "status": "lease_unknown"}]


async def test_a_faulty_settle_in_a_pull_settles_and_hands_out_nothing(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    first = await there.pull(max_messages=1)
    body = {"wait_ms": 0, "settle": {"ack": [first["batch"]], "nacks": []}}
    status, _, problem = await there.ask("POST", "/v1/pull", json=body)
    assert (status, problem["errors"][0]["field"]) == (400, "settle.nacks")
    assert there.runtime.settled == []
    assert there.runtime.free() == [1]


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("GET", "/v1/pull", {}),
        ("GET", "/v1/next", {}),
        ("HEAD", "/v1/pull", {}),
        ("HEAD", "/v1/next?wait_ms=0", {}),
        ("POST", "/v1/pull?wait_ms=0", {}),
        ("POST", "/v1/pull", {"json": {"waitms": 0}}),
        ("POST", "/v1/pull", {"json": {}, "headers": {"Accept": "text/html"}}),
        ("POST", "/v1/pull", {"json": {}, "headers": {"Fanout-Client": "x" * 201}}),
        ("POST", "/v1/pull", {"data": b"\xc1", "headers": {"Content-Type": "application/msgpack"}}),
        ("POST", "/v1/pull", {"data": io.BytesIO(b"x" * (5 << 20))}),
        ("POST", "/v1/next?max_messages=2", {}),
        ("POST", "/v1/next?wait_ms=0", {"json": {"client": "ann"}}),
    ],
)
async def test_what_is_refused_takes_no_message(there: Served, method: str, path: str, how: dict[str, object]) -> None:
    there.runtime.offer(b"a")
    status, headers, _ = await there.ask(method, path, **how)
    assert 400 <= status < 500
    assert headers["Content-Type"] == "application/problem+json"
    assert there.runtime.dispatcher.counters.delivered == 0
    assert there.runtime.free() == [0]


async def test_leases_that_ended_before_the_answer_was_written_are_not_answered(there: Served) -> None:
    async def too_late() -> None:
        there.runtime.after(0.06)

    there.runtime.offer(b"a")
    there.runtime.before_answer = too_late
    body = {"client": "ann", "wait_ms": 0, "ack_wait_ms": 50}
    status, headers, _ = await there.ask("POST", "/v1/pull", json=body)
    assert (status, headers["Fanout-Empty"]) == (204, "no-message")
    there.runtime.before_answer = None
    assert there.runtime.free() == [0]


async def test_one_pull_more_than_may_wait_is_sent_away_before_it_settles() -> None:
    async with serving(max_waiting=1) as there:
        there.runtime.offer(b"a")
        batch = (await there.pull())["batch"]
        asking = asyncio.create_task(there.pull(wait_ms=50_000))
        await eventually(there.runtime.pulls)
        for path, how in (("/v1/pull", {"json": {"settle": {"ack": [batch]}}}), ("/v1/next", {})):
            status, headers, problem = await there.ask("POST", path, **how)
            assert (status, problem["type"]) == (429, "urn:fanout:problem:too-many-waiting")
            assert int(headers["Retry-After"]) >= 1
        assert there.runtime.settled == []
        there.runtime.offer(b"b")
        await asking
        status, _, _ = await there.ask("POST", "/v1/pull", json={"wait_ms": 0})
        assert status == 204


async def test_a_stopping_worker_sends_its_clients_home(there: Served) -> None:
    asking = asyncio.create_task(there.ask("POST", "/v1/pull", json={"wait_ms": 50_000}))
    await eventually(there.runtime.pulls)
    there.runtime.stop()
    status, headers, _ = await asking
    assert (status, headers["Connection"]) == (204, "close")
    there.runtime.offer(b"a")
    status, headers, _ = await there.ask("POST", "/v1/next?wait_ms=0")
    assert (status, headers["Connection"]) == (200, "close")


async def test_the_default_ack_wait_is_an_option() -> None:
    async with serving(ack_wait=7.0) as there:
        there.runtime.offer(b"a", b"b")
        message = (await there.pull(max_messages=1))["messages"][0]
        assert message["lease_ends_unix_ms"] == START_UNIX_MS + 7000
        there.runtime.after(5)
        await there.settle(extend=[{"lease": message["lease"]}])
        _, _, state = await there.ask("GET", f"/v1/leases/{message['lease']}")
        assert state["time_left_ms"] == 7000
        _, headers, _ = await there.ask("POST", "/v1/next?wait_ms=0")
        assert headers["Fanout-Lease-Ends"] == str(START_UNIX_MS + 5000 + 7000)


# Settle --------------------------------------------------------------------------------------------------------------


async def test_nack_some_and_ack_the_batch_for_the_rest(there: Served) -> None:
    there.runtime.offer(b"a", b"b", b"c")
    answer = await there.pull()
    leases = [message["lease"] for message in answer["messages"]]
    done = await there.settle(ack=[answer["batch"]], nack=[{"lease": leases[1], "delay_ms": 0}])
    assert (done["acked"], done["nacked"]) == (2, 1)
    # The token is the one the client knows, though the core names it by its contents.
    assert done["results"] == [{"lease": leases[1], "status": "not_in_batch"}]
    assert there.runtime.free() == [1]


async def test_one_bad_entry_spoils_no_other(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    first, second = (message["lease"] for message in (await there.pull())["messages"])
    forged = first[:-1] + ("A" if first[-1] != "A" else "B")
    done = await there.settle(ack=["", forged, "x" * 5000, first, "é" * 52], nack=[{"lease": "?"}, {"lease": second}])
    assert (done["acked"], done["nacked"]) == (1, 1)
    bad = [result["lease"] for result in done["results"] if result["status"] == "lease_unknown"]
    assert sorted(bad) == sorted(["", forged, "x" * 5000, "é" * 52, "?"])
    assert len(done["results"]) == len(bad)


async def test_an_empty_settle_is_done_at_once(there: Served) -> None:
    nothing = {"acked": 0, "nacked": 0, "extended": 0, "rejected": 0, "results": []}
    assert await there.settle() == nothing
    assert (await there.ask("POST", "/v1/settle"))[2] == nothing


async def test_where_no_entry_could_be_tried_a_settle_is_503(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    first, second = (message["lease"] for message in (await there.pull())["messages"])
    there.runtime.dispatcher.suspend()
    status, headers, problem = await there.ask("POST", "/v1/settle", json={"ack": [first], "nack": [{"lease": second}]})
    assert (status, problem["type"]) == (503, "urn:fanout:problem:moving")
    assert int(headers["Retry-After"]) >= 1
    done = await there.settle(ack=[first, "nonsense"])
    assert [result["status"] for result in done["results"]] == ["retry", "lease_unknown"]


async def test_a_token_of_a_key_not_read_yet_is_retry(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    leases = [message["lease"] for message in (await there.pull())["messages"]]
    ahead = TokenCodec(LeaseKeys([b"new"]), "orders-id", "orders")
    ref = there.codec.read(leases[0])
    assert isinstance(ref, tuple)
    assert len(ref) == 5
    newer = ahead.lease(ref)
    status, _, _ = await there.ask("POST", "/v1/settle", json={"ack": [newer]})
    assert status == 503
    done = await there.settle(ack=[newer, leases[1]])
    assert done["acked"] == 1
    assert done["results"] == [{"lease": newer, "status": "retry"}]
    status, _, _ = await there.ask("DELETE", f"/v1/leases/{newer}")
    assert status == 503


async def test_a_pull_goes_on_where_its_settle_has_to_be_sent_again(there: Served) -> None:
    there.runtime.dispatcher.assign(1, LedgerSnapshot())
    there.runtime.offer(b"a")
    batch = (await there.pull())["batch"]
    there.runtime.dispatcher.partitions[0].suspended = True
    there.runtime.offer(b"b", partition=1)
    answer = await there.pull(settle={"ack": [batch]})
    assert answer["settled"]["results"] == [{"lease": batch, "status": "retry"}]
    assert [message["partition"] for message in answer["messages"]] == [1]


# Next ----------------------------------------------------------------------------------------------------------------


async def test_next_is_the_record_itself(there: Served) -> None:
    there.runtime.offer(
        b"\x00raw\xff",
        key=b"k\n",
        headers=[("content-type", b"image/png"), ("ce_id", b"1"), ("traceparent", TRACE)],
    )
    status, headers, body = await there.ask("POST", "/v1/next?wait_ms=0&ack_wait_ms=2000&client=ann&group=stable")
    assert (status, body) == (200, b"\x00raw\xff")
    assert headers["Location"] == f"/v1/leases/{headers['Fanout-Lease']}"
    assert headers["Fanout-Delivery-Count"] == "1"
    assert headers["Fanout-Lease-Ends"] == str(START_UNIX_MS + 2000)
    assert [headers[f"Kafka-{name}"] for name in ("Topic", "Partition", "Offset", "Timestamp")] == [
        "orders", "0", "0", str(START_UNIX_MS - 5000)
    ]  # fmt: skip
    assert headers["Kafka-Key"] == ":awo=:"
    assert (headers["Content-Type"], headers["ce-id"]) == ("image/png", "1")
    assert headers["traceparent"] == TRACE.decode()
    assert "Fanout-Null" not in headers
    status, _, _ = await there.ask("DELETE", headers["Location"])
    assert status == 204
    there.runtime.after(100)
    assert there.runtime.free() == []


@pytest.mark.parametrize("encoding", ["base64", "utf8"])
async def test_a_pull_hands_the_trace_on_as_the_record_has_it(there: Served, encoding: str) -> None:
    there.runtime.offer(b"a", headers=[("traceparent", TRACE), ("tracestate", b"vendor=1")])
    (message,) = (await there.pull(encoding=encoding))["messages"]
    sent = [base64.b64encode(one).decode() if encoding == "base64" else one.decode() for one in (TRACE, b"vendor=1")]
    assert message["headers"] == [["traceparent", sent[0]], ["tracestate", sent[1]]]


async def test_next_tells_null_from_empty_and_from_nothing(there: Served) -> None:
    there.runtime.offer(None, b"")
    status, headers, body = await there.ask("POST", "/v1/next?wait_ms=0")
    assert (status, headers["Fanout-Null"], headers["Content-Length"], body) == (200, "1", "0", b"")
    status, headers, body = await there.ask("POST", "/v1/next?wait_ms=0")
    assert (status, headers.get("Fanout-Null"), headers["Content-Type"]) == (200, None, "application/octet-stream")
    status, headers, _ = await there.ask("POST", "/v1/next?wait_ms=0")
    assert (status, headers["Fanout-Empty"]) == (204, "no-message")


async def test_next_takes_one_message_only(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    await there.ask("POST", "/v1/next?wait_ms=0")
    assert there.runtime.free() == [1]
