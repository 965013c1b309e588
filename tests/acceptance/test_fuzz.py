"""The fuzzer's requests at two real workers, one of which owns nothing: what is refused has changed nothing anywhere.

``FUZZ_REQUESTS`` says how many are made up, other ones each time; without it they are the same few hundred.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.clients import MakeClient
from support.eventually import eventually
from support.fuzz.contract import refused
from support.fuzz.draft import PLACES, Draft
from support.fuzz.replay import differences, sent, state, those_refused
from support.fuzz.routes import routes_of
from support.fuzz.strategies import drafts
from support.kafka import Kafka
from support.workers import READY_TOGETHER, ShowLogs, Worker, Workers

# Hypothesis means the strategy, which is large and not shown.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

ID = "service"
#: Nothing happens by itself for long: neither leases of the usual length end, nor does a message rest.
_OPTIONS: dict[str, Any] = {
    "client_ttl": "500ms",
    "commit_interval": "100ms",
    "ack_wait": "10m",
    "backoff_longest": "100ms",
}
_CHUNK = 25


def made_up() -> list[Draft]:
    count = int(os.environ.get("FUZZ_REQUESTS", "300"))
    found: list[Draft] = []

    @settings(
        max_examples=count // 20,
        deadline=None,
        derandomize="FUZZ_REQUESTS" not in os.environ,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(drafts(routes_of()), min_size=20, max_size=20))
    def collect(some: list[Draft]) -> None:
        found.extend(some)

    collect()
    return found


async def tokens_at(worker: Worker, session: aiohttp.ClientSession, client: MakeClient) -> dict[str, str]:
    """All begins anew; then a client holds messages, and here are its tokens by their places."""
    for path, body in (("/v1/resume", {}), ("/v1/seek", {"to": "earliest", "force": True})):
        async with session.post(worker.url + path, json=body) as response:
            assert response.status == 200, await response.text()
    holder = client(worker, "holder")
    pulled = await holder.pull(max_messages=8, ack_wait_ms=600_000, wait_ms=8000)
    leases = pulled.leases
    assert len(leases) == 8
    assert (await holder.ack(leases[0])).acked == 1
    return dict(zip(PLACES, [*leases[1:7], pulled.batch, leases[0]], strict=True))


async def calm(session: aiohttp.ClientSession, worker: Worker, kafka: Kafka) -> dict[str, Any]:
    """How all stands, once nothing changes by itself any more."""
    now = await everything(session, worker, kafka)

    async def as_before() -> bool:
        nonlocal now
        if not await _nothing_ends_soon(session, worker):
            return False
        before, now = now, await everything(session, worker, kafka)
        (row,) = now["partitions"]["partitions"]
        (end,) = (await kafka.ends(worker.topic, [0])).values()
        return (
            now == before
            and now["committed"] == {0: row["floor"]}
            # How far the log goes is looked up now and then only.
            and now["status"]["lag"] == end - row["floor"] - row["settled_above_floor"]
        )

    await eventually(as_before, 20.0, every=0.5)
    return now


async def _nothing_ends_soon(session: aiohttp.ClientSession, worker: Worker) -> bool:
    """No lease ends by itself before all is compared, and no client is forgotten: not those that hold one."""
    async with session.get(f"{worker.url}/v1/leases?limit=1000") as response:
        leases = (await response.json())["leases"]
    async with session.get(f"{worker.url}/v1/clients") as response:
        clients = (await response.json())["clients"]
    return all(lease["time_left_ms"] > 60_000 for lease in leases) and all(client["in_flight"] for client in clients)


async def everything(session: aiohttp.ClientSession, worker: Worker, kafka: Kafka) -> dict[str, Any]:
    return {**await state(session, worker), "committed": await kafka.committed(ID, worker.topic)}


async def changes_nothing(
    worker: Worker,
    chunk: list[Draft],
    tokens: Mapping[str, str],
    owner: Worker,
    kafka: Kafka,
    session: aiohttp.ClientSession,
) -> int:
    """Send these until all of them are refused, and see that nothing has changed; answers how many they are."""
    while chunk:
        before = await calm(session, owner, kafka)
        answers = await sent(worker, chunk, tokens)
        if all(map(refused, answers)):
            after = await everything(session, owner, kafka)
            changed = differences(before, after)
            assert not changed, (changed, [draft.raw(tokens)[:500] for draft in chunk])
            break
        # It was refused for how all stood then, and is not now.
        chunk = those_refused(chunk, answers)
    return len(chunk)


async def test_whatever_is_asked_of_owner_or_spare_is_answered_and_changes_nothing_where_it_is_refused(
    kafka: Kafka, workers: Workers, session: aiohttp.ClientSession, client: MakeClient, show_logs: ShowLogs
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *(f"{number}" for number in range(200)))
    owner = await workers.start(topic, **_OPTIONS)
    spare = workers.launch(topic, **_OPTIONS)
    await spare.ready(READY_TOGETHER)
    await eventually(lambda: _together(owner, spare), READY_TOGETHER)
    if not await owner.partitions():
        owner, spare = spare, owner

    all_drafts = made_up()
    tokens = await tokens_at(owner, session, client)
    were_refused = []
    for worker, share in ((owner, all_drafts[::2]), (spare, all_drafts[1::2])):
        were_refused.append((worker, those_refused(share, await sent(worker, share, tokens))))

    tokens = await tokens_at(owner, session, client)
    shown = 0
    for worker, share in were_refused:
        for start in range(0, len(share), _CHUNK):
            shown += await changes_nothing(worker, share[start : start + _CHUNK], tokens, owner, kafka, session)
    assert shown > len(all_drafts) / 4
    for worker in (owner, spare):
        assert worker.runs
        assert "Traceback" not in worker.text()
    taken = await client(spare, "after all").pull(wait_ms=8000)
    assert taken.messages
    assert (await client(spare, "after all").ack(*taken.leases)).acked == len(taken.messages)


async def _together(one: Worker, other: Worker) -> bool:
    """Both know each other, who owns the partition and who leads."""
    for worker in (one, other):
        status, rows = await asyncio.gather(worker.status(), worker.workers())
        if (
            len(status["workers"]) != 2
            or status["leader"] is None
            or sum(len(row["partitions"]) for row in rows.values()) != 1
        ):
            return False
    return True
