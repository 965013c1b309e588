"""The file of lease keys is read again while the worker runs: keys are rotated without losing a token in use."""

from __future__ import annotations

import os
from pathlib import Path

from support.clients import Client, Delivery, MakeClient
from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

OLD = "old-0123456789abcdef0123456789abcdef"
NEW = "new-0123456789abcdef0123456789abcdef"


def write(path: Path, text: str) -> None:
    """Whole or not at all, as whoever hands out secrets does it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.replace(beside, path)


async def said(worker: Worker, text: str, times: int = 1) -> None:
    await eventually(lambda: worker.text().count(text) == times)


async def three_messages(kafka: Kafka, workers: Workers, client: MakeClient, path: Path) -> tuple[Worker, Client]:
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "first", "second", "third")
    write(path, f"{OLD}\n")
    verbose = {"FANOUT_VERBOSE": "1"}
    worker = await workers.start(topic, lease_key_file=str(path), drain="0s", environment=verbose)
    return worker, client(worker, "one")


async def pull(one: Client) -> Delivery:
    return (await one.pull(ack_wait_ms=600_000)).one


async def test_keys_are_rotated_under_a_running_worker(
    kafka: Kafka, workers: Workers, client: MakeClient, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    worker, one = await three_messages(kafka, workers, client, path)
    first, second = await pull(one), await pull(one)

    write(path, f"{NEW}\n{OLD}\n")
    await said(worker, "2 keys, 1 of them known before, another one signs")
    third = await pull(one)
    assert (await one.ack(first.lease)).acked == 1, "what the old key signed still counts"

    write(path, f"{NEW}\n")
    await said(worker, "1 keys, 1 of them known before, the same one signs")
    late = await one.ack(second.lease)
    assert (late.acked, late.results) == (0, {second.lease: "retry"}), "its key is gone"
    assert (await one.ack(third.lease)).acked == 1, "signed by the new key, or it would not count now"

    write(path, f"{NEW}\n{OLD}\n")
    await said(worker, "2 keys, 1 of them known before, the same one signs")
    assert (await one.ack(second.lease)).acked == 1, "its key is back"
    assert OLD not in worker.text()
    assert NEW not in worker.text()


async def test_a_file_that_cannot_be_used_any_more_changes_nothing_and_is_told_of_once(
    kafka: Kafka, workers: Workers, client: MakeClient, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    worker, one = await three_messages(kafka, workers, client, path)
    first = await pull(one)

    write(path, "")
    await said(worker, "holds no key")
    second = await pull(one)
    path.unlink()
    await said(worker, "cannot be read")
    write(path, "short")
    await said(worker, "line 1 is no key")
    third = await pull(one)
    write(path, f"{OLD}\n")
    await said(worker, "can be used again, its lease keys are those in use")

    for message in (first, second, third):
        assert (await one.ack(message.lease)).acked == 1
    errors = [line for line in worker.text().splitlines() if " ERROR fanout." in line]
    assert len(errors) == 3, errors
    assert all("the lease keys read before stay in use" in line for line in errors)
