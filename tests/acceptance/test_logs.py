"""Logs are quiet while all is well, and never hold a message's key or value, a lease or a secret."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from support.clients import MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import Workers

SECRETS = ("the-key-of-a-message", "the-value-of-a-message", "the-reason-of-a-client", "lease-key-" + "x" * 32)


async def test_a_start_takes_less_than_twelve_lines_and_work_none(
    kafka: Kafka, workers: Workers, client: MakeClient
) -> None:
    topic = await kafka.new_topic(4)
    worker = await workers.start(topic, command="fanout")
    # The last line of a start: whoever leads waits a little before it says so.
    await eventually(lambda: " leads, epoch " in worker.text())
    lines = worker.text().splitlines()
    assert len(lines) < 12, lines
    await kafka.produce(topic, *(str(n) for n in range(50)))
    one = client(worker, "one")
    for message in await one.take(50, ack_wait_ms=60_000):
        assert (await one.ack(message.lease)).acked == 1
    await one.pull(wait_ms=1500)
    assert worker.text().splitlines() == lines


async def test_even_with_verbose_no_log_holds_what_is_in_messages_tokens_or_keys(
    kafka: Kafka, stack: Stack, workers: Workers, client: MakeClient, tmp_path: Path
) -> None:
    key, value, reason, lease_key = SECRETS
    path = tmp_path / "keys"
    path.write_text(f"{lease_key}\n")
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, *[f"{value}-{n}" for n in range(5)], keys=[f"{key}-{n}" for n in range(5)])
    verbose = {"FANOUT_VERBOSE": "1"}
    worker = await workers.start(
        topic, environment=verbose, drain="0s", lease_key_file=str(path), zookeepers=stack.zookeepers
    )
    one = client(worker, "one")
    acked, nacked, rejected, expired, held = await one.take(5, ack_wait_ms=60_000)
    await one.settle(
        ack=[acked.lease, f"{acked.lease[:-1]}A"],
        nack=[{"lease": nacked.lease, "reason": reason}],
        reject=[{"lease": rejected.lease, "reason": reason}],
        extend=[{"lease": expired.lease, "ack_wait_ms": 50}],
    )
    again = await client(worker, "two").take(2)
    async with aiohttp.ClientSession() as session:
        for path_of_it in (f"/v1/leases/{held.lease}", f"/v1/nothing/{held.lease}"):
            async with session.get(worker.url + path_of_it) as response:
                await response.read()
    await asyncio.gather(worker.terminate(), one.pull(wait_ms=100), return_exceptions=True)

    text = worker.text()
    assert "DEBUG" in text
    for secret in (*SECRETS, *(message.lease for message in (acked, nacked, rejected, expired, held, *again))):
        assert secret not in text
        assert secret[:30] not in text
