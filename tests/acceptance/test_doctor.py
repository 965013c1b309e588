"""``fanout doctor`` finds what keeps a worker from starting or working, says what mends it, and changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support.kafka import Kafka
from support.stack import Stack
from support.workers import BIN, Workers

#: It tries for as long to reach a broker as a start does.
WITHIN = 60.0


class Examined:
    """What it has printed."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        lines = [line.split(None, 1) for line in text.splitlines()]
        self.wrong = [text for level, text in lines if level == "wrong"]
        self.look = [text for level, text in lines if level == "look"]
        self.good = [text for level, text in lines if level == "ok"]


async def doctor(topic: str, **options: str) -> Examined:
    options = {"id": "service", "topic": topic, **options}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(
        BIN / "fanout", "doctor", *given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(WITHIN):
        out, err = await process.communicate()
    assert "Traceback" not in err.decode()
    assert process.returncode is not None
    return Examined(process.returncode, out.decode())


@pytest.fixture
async def topic(kafka: Kafka) -> str:
    return await kafka.new_topic(2)


async def test_where_nothing_is_wrong_it_says_so_and_has_made_nothing(stack: Stack, kafka: Kafka, topic: str) -> None:
    found = await doctor(topic, brokers=stack.brokers, zookeepers=stack.zookeepers)
    assert (found.code, found.wrong) == (0, []), found.text
    assert f"topic {topic}: 2 partitions, 1 copies of each message" in found.good
    assert (
        f"topic fanout_service_{topic}-ledgers-changelog: is made by the first worker, which may do that" in found.good
    )
    assert "ZooKeeper: answers, has not seen this id and topic" in found.good
    assert len(found.look) == 1, "that there is one copy alone"
    again = await doctor(topic, brokers=stack.brokers, zookeepers=stack.zookeepers)
    assert again.text == found.text


async def test_workers_that_run_are_found(stack: Stack, workers: Workers, topic: str) -> None:
    worker = await workers.start(topic, zookeepers=stack.zookeepers)
    name = (await worker.status())["worker"]
    found = await doctor(topic, brokers=stack.brokers, zookeepers=stack.zookeepers)
    assert f"worker {name} answers at {worker.url}" in found.good, found.text
    assert f"topic fanout_service_{topic}: as it has to be" in found.good
    worker.kill9()
    found = await doctor(topic, brokers=stack.brokers, zookeepers=stack.zookeepers)
    assert any(f"worker {name} does not answer at {worker.url}" in text for text in found.look), found.text


async def test_without_zookeeper_workers_are_found_by_the_key_on_the_board(
    stack: Stack, workers: Workers, topic: str
) -> None:
    worker = await workers.start(topic)
    found = await doctor(topic, brokers=stack.brokers, zookeepers="none")
    assert any(text.endswith(f"answers at {worker.url}") for text in found.good), found.text
    found = await doctor(topic, brokers=stack.brokers, zookeepers="none", order="key")
    assert found.code == 1
    assert "--order" in found.wrong[0]


async def test_each_thing_that_is_wrong_is_named_with_what_mends_it(
    stack: Stack, kafka: Kafka, topic: str, tmp_path: Path
) -> None:
    await kafka.make_topic(f"fanout_service_{topic}-ledgers-changelog", 2, cleanup_policy="delete")
    keys = tmp_path / "keys"
    keys.write_text("short")
    found = await doctor(
        topic, brokers=stack.brokers, zookeepers="127.0.0.1:1", lease_key_file=str(keys), bind="0.0.0.0:0",
        tokens_file=str(tmp_path / "none"),
    )  # fmt: skip
    assert found.code == 1
    texts = "\n".join(found.wrong)
    assert f"--lease-key-file {keys}: line 1 is no key" in texts
    assert f"--tokens-file {tmp_path / 'none'}" in texts
    assert "no ZooKeeper answers at 127.0.0.1:1" in texts
    assert f"--alter --topic fanout_service_{topic}-ledgers-changelog --add-config cleanup.policy=compact" in texts


async def test_a_topic_and_a_broker_that_are_not_there(stack: Stack) -> None:
    found = await doctor("nothing-of-that-name", brokers=stack.brokers, zookeepers="none")
    assert found.code == 1
    assert "kafka-topics.sh" in found.wrong[0]
    found = await doctor("any", brokers="127.0.0.1:1", zookeepers="none")
    assert found.code == 1
    assert "nothing listens at 127.0.0.1:1" in found.wrong[0]
