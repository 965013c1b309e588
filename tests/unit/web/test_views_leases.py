"""One lease by its own address, through every case of the settle table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.settling import TABLE, Case
from fanout_app.lease_keys import LeaseKeys
from fanout_app.web.tokens import TokenCodec
from unit.web.fake_runtime import START_UNIX_MS, FakeRuntime
from unit.web.harness import Served, serving

VERBS = {
    "ack": ("DELETE", ""),
    "nack": ("POST", "/nack"),
    "extend": ("POST", "/extend"),
    "reject": ("POST", "/reject"),
}
PREFIX = "urn:fanout:problem:"


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def _leased(there: Served) -> str:
    there.runtime.offer(b"a")
    return str((await there.pull())["messages"][0]["lease"])


async def _live(there: Served) -> str:
    return await _leased(there)


async def _unknown(there: Served) -> str:
    theirs = TokenCodec(LeaseKeys([b"a key of the tests"]), "orders-id", "another-topic")
    ref = there.codec.read(await _leased(there))
    assert isinstance(ref, tuple)
    assert len(ref) == 5
    return theirs.lease(ref)


async def _old_era(there: Served) -> str:
    lease = await _leased(there)
    there.runtime.dispatcher.drop(0, there.runtime.clock)
    there.runtime.dispatcher.assign(0, LedgerSnapshot(era=1))
    return lease


async def _settled(there: Served) -> str:
    lease = await _leased(there)
    await there.settle(ack=[lease])
    return lease


async def _below_log(there: Served) -> str:
    lease = await _leased(there)
    there.runtime.dispatcher.drop(0, there.runtime.clock)
    there.runtime.dispatcher.assign(0, LedgerSnapshot())
    there.runtime.dispatcher.partitions[0].log_start = 9
    return lease


async def _moving(there: Served) -> str:
    lease = await _leased(there)
    there.runtime.dispatcher.suspend()
    return lease


async def _ended(there: Served) -> str:
    lease = await _leased(there)
    there.runtime.after(31)
    return lease


async def _held_by_another(there: Served) -> str:
    lease = await _ended(there)
    await there.pull(client="bob")
    return lease


MADE: dict[Case, list[Callable[[Served], Awaitable[str]]]] = {
    Case.UNKNOWN: [_unknown],
    Case.OLD_ERA: [_old_era],
    Case.SETTLED: [_settled],
    Case.BELOW_LOG: [_below_log],
    Case.MOVING: [_moving],
    Case.LIVE: [_live],
    Case.ENDED: [_ended, _held_by_another],
}
CODES = {
    "lease_unknown": (404, "lease-unknown"),
    "gone": (410, "gone"),
    "already_settled": (204, None),
    "retry": (503, "moving"),
    "done": (204, None),
    "late": (204, None),
    "lease_lost": (409, "lease-lost"),
}


@pytest.mark.parametrize("verb", TABLE[Case.LIVE], ids=lambda verb: verb.value)
@pytest.mark.parametrize(("case", "make"), [(case, make) for case in Case for make in MADE[case]])
async def test_every_case_has_the_code_of_the_table(
    there: Served, case: Case, make: Callable[[Served], Awaitable[str]], verb: object
) -> None:
    lease = await make(there)
    name = next(verb_.value for verb_ in TABLE[case] if verb_ is verb)
    status = next(status for verb_, status in TABLE[case].items() if verb_ is verb)
    method, end = VERBS[name]
    code, headers, body = await there.ask(method, f"/v1/leases/{lease}{end}")
    expected, kind = CODES[status.value]
    assert code == expected, body
    assert headers.get("Fanout-Late") == ("1" if status.value == "late" else None)
    assert ("Retry-After" in headers) == (code == 503)
    if kind is not None:
        assert headers["Content-Type"] == "application/problem+json"
        assert body["type"] == PREFIX + kind
        assert body["detail"]


async def test_an_ack_settles_and_a_nack_hands_on(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    first, second = (message["lease"] for message in (await there.pull())["messages"])
    assert (await there.ask("DELETE", f"/v1/leases/{first}"))[0] == 204
    assert (await there.ask("POST", f"/v1/leases/{second}/nack?delay_ms=5000"))[0] == 204
    there.runtime.after(4.9)
    assert there.runtime.free() == []
    there.runtime.after(0.2)
    assert there.runtime.free() == [1]


async def test_options_of_the_single_forms_come_by_query(there: Served) -> None:
    lease = await _leased(there)
    assert (await there.ask("POST", f"/v1/leases/{lease}/extend?ack_wait_ms=60000"))[0] == 204
    assert (await there.ask("POST", f"/v1/leases/{lease}/reject?reason=bad%20bytes"))[0] == 204
    assert there.runtime.settled[-2].extend[0].ack_wait == 60.0
    assert there.runtime.settled[-1].reject[0].reason == "bad bytes"
    assert there.runtime.dispatcher.counters.rejected == 1


@pytest.mark.parametrize(
    ("method", "end", "how", "field"),
    [
        ("POST", "/nack?delay=5", {}, "delay"),
        ("POST", "/nack?delay_ms=-1", {}, "delay_ms"),
        ("POST", "/nack", {"json": {"delay_ms": 5}}, "body"),
        ("POST", "/extend?ack_wait_ms=1", {}, "ack_wait_ms"),
        ("POST", "/reject?reasons=x", {}, "reasons"),
        ("DELETE", "?durable=false", {}, "durable"),
        ("DELETE", "", {"json": {}}, "body"),
        ("GET", "?x=1", {}, "x"),
    ],
)
async def test_misplaced_options_are_refused_and_nothing_is_done(
    there: Served, method: str, end: str, how: dict[str, object], field: str
) -> None:
    lease = await _leased(there)
    code, _, problem = await there.ask(method, f"/v1/leases/{lease}{end}", **how)
    assert (code, [fault["field"] for fault in problem["errors"]]) == (400, [field])
    assert there.runtime.settled == []


async def test_a_batch_can_be_settled_by_address_too(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    answer = await there.pull()
    await there.settle(nack=[{"lease": answer["messages"][0]["lease"], "delay_ms": 1000}])
    assert (await there.ask("DELETE", f"/v1/leases/{answer['batch']}"))[0] == 204
    assert there.runtime.dispatcher.counters.acked == 1
    assert (await there.ask("GET", f"/v1/leases/{answer['batch']}"))[0] == 404


async def test_a_lease_tells_its_state_and_time_left(there: Served) -> None:
    lease = await _leased(there)
    there.runtime.after(10)
    code, _, state = await there.ask("GET", f"/v1/leases/{lease}")
    assert code == 200
    assert state == {
        "lease": lease,
        "state": "live",
        "partition": 0,
        "offset": 0,
        "delivery_count": 1,
        "lease_ends_unix_ms": START_UNIX_MS + 30_000,
        "time_left_ms": 20_000,
    }
    there.runtime.after(21)
    _, _, state = await there.ask("GET", f"/v1/leases/{lease}")
    assert (state["state"], state["time_left_ms"], state["lease_ends_unix_ms"]) == ("ended", 0, None)
    await there.pull(client="bob")
    _, _, state = await there.ask("GET", f"/v1/leases/{lease}")
    assert (state["state"], state["time_left_ms"]) == ("ended", 0)
    await there.settle(ack=[lease])
    _, _, state = await there.ask("GET", f"/v1/leases/{lease}")
    assert state["state"] == "settled"


@pytest.mark.parametrize(
    ("make", "code"), [(_unknown, 404), (_old_era, 410), (_below_log, 410), (_moving, 503)], ids=lambda it: str(it)
)
async def test_where_a_lease_has_no_state_asking_has_the_code_of_the_table(
    make: Callable[[Served], Awaitable[str]], code: int
) -> None:
    async with serving(FakeRuntime()) as there:
        assert (await there.ask("GET", f"/v1/leases/{await make(there)}"))[0] == code


# All live leases -----------------------------------------------------------------------------------------------------


async def test_live_leases_are_listed_oldest_first(there: Served) -> None:
    there.runtime.offer(b"a", b"b", b"c")
    old = (await there.pull(client="ann", max_messages=1, ack_wait_ms=60_000))["messages"][0]
    there.runtime.after(2.0)
    new = (await there.pull(client="bob", max_messages=1))["messages"][0]
    there.runtime.after(0.5)
    _, _, body = await there.ask("GET", "/v1/leases")
    assert body["leases"] == [
        {"lease": old["lease"], "partition": 0, "offset": 0, "client": "ann", "group": "stable", "delivery_count": 1,
         "age_ms": 2500, "lease_ends_unix_ms": old["lease_ends_unix_ms"], "time_left_ms": 57_500},
        {"lease": new["lease"], "partition": 0, "offset": 1, "client": "bob", "group": "stable", "delivery_count": 1,
         "age_ms": 500, "lease_ends_unix_ms": new["lease_ends_unix_ms"], "time_left_ms": 29_500},
    ]  # fmt: skip
    _, _, body = await there.ask("GET", "/v1/leases?min_age_ms=501")
    assert [row["offset"] for row in body["leases"]] == [0]
    _, _, body = await there.ask("GET", "/v1/leases?limit=1")
    assert [row["offset"] for row in body["leases"]] == [0]


async def test_a_listed_lease_can_be_settled(there: Served) -> None:
    there.runtime.offer(b"a")
    await there.pull()
    _, _, body = await there.ask("GET", "/v1/leases")
    assert (await there.ask("DELETE", f"/v1/leases/{body['leases'][0]['lease']}"))[0] == 204
    assert (await there.ask("GET", "/v1/leases"))[2] == {"leases": []}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("min_age_ms=-1", "min_age_ms"),
        ("min_age_ms=" + "9" * 400, "min_age_ms"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("age=1", "age"),
    ],
)
async def test_every_fault_of_the_query_is_named(there: Served, query: str, field: str) -> None:
    status, _, problem = await there.ask("GET", f"/v1/leases?{query}")
    assert status == 400
    assert [fault["field"] for fault in problem["errors"]] == [field]
