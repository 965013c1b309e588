"""Health, status and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fanout_app.core.following import Leader
from fanout_app.core.roster import Heartbeat
from support.eventually import eventually
from unit.web.harness import Served, serving


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def test_health_is_the_runtimes_word(there: Served) -> None:
    assert (await there.ask("GET", "/healthz"))[0] == 200
    assert (await there.ask("HEAD", "/healthz"))[0] == 200
    there.runtime.sick = "nothing was handed out for 31 s"
    status, headers, body = await there.ask("GET", "/healthz")
    assert (status, headers["Content-Type"]) == (503, "application/problem+json")
    assert body["detail"] == "nothing was handed out for 31 s; restart this worker"
    assert "Retry-After" in headers


async def test_a_worker_is_ready_from_its_first_answer_until_it_stops(there: Served) -> None:
    there.runtime.ready = False
    status, _, body = await there.ask("GET", "/readyz")
    assert (status, body["type"]) == (503, "urn:fanout:problem:moving")
    there.runtime.ready = True
    assert (await there.ask("GET", "/readyz"))[0] == 200
    there.runtime.stop()
    status, _, body = await there.ask("GET", "/readyz")
    assert (status, body["type"]) == (503, "urn:fanout:problem:stopping")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_does_not_depend_on_how_it_is_asked(there: Served, path: str) -> None:
    assert (await there.ask("GET", f"{path}?now=1", headers={"Accept": "text/plain"}))[0] == 200


async def test_status_and_partitions_are_the_runtimes(there: Served) -> None:
    assert (await there.ask("GET", "/v1/status"))[2] == {
        "id": "orders-id",
        "degraded": [],
        "workers": ["worker-1"],
        "clients": 0,
        "leader": None,
        "epoch": None,
    }
    assert (await there.ask("GET", "/v1/partitions"))[2] == {"partitions": [{"partition": 0}]}


async def test_clients_are_those_alive(there: Served) -> None:
    there.runtime.offer(b"a", b"b")
    leases = [message["lease"] for message in (await there.pull(client="ann"))["messages"]]
    await there.settle(ack=[leases[0]], nack=[{"lease": leases[1], "delay_ms": 60_000}])
    await there.ask("POST", "/v1/pull", json={"wait_ms": 0})
    asking = asyncio.create_task(there.ask("POST", "/v1/pull", json={"client": "bob"}))
    await eventually(there.runtime.pulls)
    clients = (await there.ask("GET", "/v1/clients"))[2]["clients"]
    last_seen = {client.pop("last_seen_unix_ms") for client in clients}
    assert len(last_seen) == 1
    ann, bob = clients
    assert ann == {"client": "ann", "group": "stable", "in_flight": 0, "waiting": 0, "delivered": 2, "acked": 1,
                   "nacked": 1, "expired": 0}  # fmt: skip
    assert (bob["client"], bob["waiting"]) == ("bob", 1)
    there.runtime.clock += 11
    clients = (await there.ask("GET", "/v1/clients"))[2]["clients"]
    assert [client["client"] for client in clients] == ["bob"]
    there.runtime.stop()
    await asking


def _samples(text: bytes) -> dict[str, float]:
    return {
        sample.name + "".join(f"[{value}]" for value in sample.labels.values() if sample.name != "le"): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def test_metrics_tell_what_happened(there: Served) -> None:
    runtime = there.runtime
    runtime.offer(b"aaaa", b"bbb", b"cc", b"d", b"e", b"f")
    await there.pull(max_messages=1, client="first")
    leases = [message["lease"] for message in (await there.pull(max_messages=4, client="second"))["messages"]]
    await there.settle(ack=leases[:1], nack=[{"lease": leases[1]}], reject=[{"lease": leases[2]}])
    runtime.after(31)
    await there.settle(ack=leases[3:])
    runtime.dispatcher.log_starts_at(0, 10)
    there.metrics.request_refused(401)
    there.metrics.commit_seconds(0.003)
    status, headers, text = await there.ask("GET", "/metrics")
    assert status == 200
    assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = _samples(text)
    assert found["fanout_settled_total[acked]"] == 1
    assert found["fanout_settled_total[late]"] == 1
    assert found["fanout_settled_total[rejected]"] == 1
    assert found["fanout_settled_total[dead-lettered]"] == 0
    assert found["fanout_nacked_total"] == 1
    assert found["fanout_redeliveries_total"] == 0
    assert (found["fanout_delayed"], found["fanout_paused"], found["fanout_ledger_row_bytes"]) == (0, 0, 0)
    assert found["fanout_blocked"] == 0
    assert found["fanout_expired_total"] == 2
    assert found["fanout_deliveries_total"] == 5
    assert found["fanout_lost_to_retention_total"] == 4
    assert found["fanout_in_flight"] == 0
    assert found["fanout_waiting_messages"] == 1
    assert found["fanout_buffer_bytes"] == len(b"aaaa" + b"cc" + b"f")
    assert found["fanout_oldest_unsettled_age_seconds"] == 36
    assert found["fanout_clients"] == 2
    assert (found["fanout_refused_total[401]"], found["fanout_refused_total[403]"]) == (1, 0)
    assert found["fanout_commit_seconds_count"] == 1
    assert found["fanout_commit_seconds_bucket[0.005]"] == 1
    assert found["fanout_commit_seconds_bucket[0.002]"] == 0


async def test_metrics_show_what_a_leak_would_let_grow(there: Served) -> None:
    before = _samples((await there.ask("GET", "/metrics"))[2])
    waiting = [asyncio.create_task(there.ask("POST", "/v1/pull")) for _ in range(5)]
    await eventually(lambda: there.runtime.pulls() == 5)
    meanwhile = _samples((await there.ask("GET", "/metrics"))[2])
    assert meanwhile["fanout_waiting_pulls"] == 5
    assert meanwhile["fanout_tasks"] >= before["fanout_tasks"] + 5
    assert meanwhile["process_open_fds"] >= before["process_open_fds"] + 5
    there.runtime.stop()
    await asyncio.gather(*waiting)
    after = _samples((await there.ask("GET", "/metrics"))[2])
    assert after["fanout_waiting_pulls"] == 0
    assert after["fanout_tasks"] <= before["fanout_tasks"] + 5


@pytest.mark.parametrize("timestamp", [-1, 1 << 60])
async def test_a_record_without_or_ahead_of_its_time_has_no_age(there: Served, timestamp: int) -> None:
    there.runtime.offer(b"a", timestamp=timestamp)
    assert _samples((await there.ask("GET", "/metrics"))[2])["fanout_oldest_unsettled_age_seconds"] == 0


async def test_workers_are_those_of_whom_heartbeats_are_heard(there: Served) -> None:
    roster, now = there.runtime.roster, there.runtime.clock
    other = Heartbeat(worker="worker-0", address="http://10.0.0.2:6066", partitions=(0, 2), generation=4,
                      waiting_messages=10, waiting_pulls=3, epoch=None, misses_epoch=None)  # fmt: skip
    roster.heard(now, other)
    roster.heard(now, replace(other, worker=there.runtime.worker, partitions=()))
    there.runtime.clock += 0.25
    workers = (await there.ask("GET", "/v1/workers"))[2]["workers"]
    assert workers[0] == {"worker": "worker-0", "address": "http://10.0.0.2:6066", "partitions": [0, 2],
                          "generation": 4, "waiting_messages": 10, "waiting_pulls": 3, "unheard_ms": 250,
                          "me": False}  # fmt: skip
    assert [(row["worker"], row["partitions"], row["me"]) for row in workers[1:]] == [("worker-1", [], True)]
    there.runtime.clock += 3
    workers = (await there.ask("GET", "/v1/workers"))[2]["workers"]
    assert [row["worker"] for row in workers] == ["worker-1"]


async def test_the_leader_is_who_is_followed(there: Served) -> None:
    nobody = {"worker": None, "address": None, "epoch": None, "me": False, "acting": False}
    assert (await there.ask("GET", "/v1/leader"))[::2] == (200, nobody)
    leading = there.runtime.leading
    leading.led_by, leading.epoch = Leader(worker="worker-0", address="http://10.0.0.2:6066", epoch=12), 12
    status = (await there.ask("GET", "/v1/status"))[2]
    assert (status["leader"], status["epoch"]) == ("worker-0", 12)
    answer = (await there.ask("GET", "/v1/leader"))[2]
    assert answer == {**nobody, "worker": "worker-0", "address": "http://10.0.0.2:6066", "epoch": 12}
    leading.led_by, leading.acting = Leader(worker="worker-1", address="http://10.0.0.1:6066", epoch=13), True
    assert (await there.ask("GET", "/v1/leader"))[2] == {
        "worker": "worker-1", "address": "http://10.0.0.1:6066", "epoch": 12, "me": True, "acting": True}  # fmt: skip
    assert (await there.ask("GET", "/v1/leader?x=1"))[0] == 400


async def test_metrics_tell_of_leadership(there: Served) -> None:
    leading = there.runtime.leading
    samples = _samples((await there.ask("GET", "/metrics"))[2])
    assert (samples["fanout_leading"], samples["fanout_leader_epoch"]) == (0, 0)
    leading.epoch, leading.acting, leading.changes = 12, True, 3
    samples = _samples((await there.ask("GET", "/metrics"))[2])
    assert (samples["fanout_leading"], samples["fanout_leader_epoch"]) == (1, 12)
    assert samples["fanout_leader_changes_total"] == 3
