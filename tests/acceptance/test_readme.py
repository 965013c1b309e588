"""The first steps of the README, run as they stand."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Workers

README = Path(__file__).resolve().parents[2] / "README.md"
SERVED_AT = "localhost:6066"
SECOND_AT = "localhost:6067"


def curl_lines() -> list[str]:
    lines = [line for line in README.read_text().splitlines() if line.startswith("curl ")]
    assert len(lines) == 5, "the README shows other lines than this test knows of"
    return lines


async def shell(line: str) -> str:
    process = await asyncio.create_subprocess_shell(
        line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        output, errors = await process.communicate()
    assert process.returncode == 0, (line, errors.decode())
    return output.decode()


async def test_the_lines_of_the_readme_take_ack_and_take_more(kafka: Kafka, workers: Workers) -> None:
    """Only the addresses are others, where the default ports are somebody else's; and what stands for a token."""
    topic = await kafka.new_topic(1)
    await kafka.produce(topic, "one", "two", "three")
    worker = await workers.start(topic)
    take, ack, more, acked_more, who = [
        line.replace(SERVED_AT, worker.url.removeprefix("http://")) for line in curl_lines()
    ]

    answer = await shell(take)
    assert answer.startswith("HTTP/1.1 200 OK")
    assert answer.endswith("one"), "the body is the record"
    location = re.search(r"^Location: (\S+)", answer, re.MULTILINE)
    assert location is not None
    assert await shell(ack.replace("/v1/leases/...", location[1])) == ""
    assert (await worker.partitions())[0]["floor"] == 1

    answer = await shell(more)
    batch = re.search(r'"batch":"([^"]+)"', answer)
    assert batch is not None
    assert answer.count('"lease":') == 2
    answer = await shell(acked_more.replace("<batch>", batch[1]).replace("100", '1, "wait_ms": 0', 1))
    assert '"acked":2' in answer
    assert (await worker.partitions())[0]["floor"] == 3

    second = await workers.start(topic)

    async def both() -> bool:
        answer = await shell(who.replace(SECOND_AT, second.url.removeprefix("http://")))
        return all(f'"address":"{one.url}"' in answer for one in (worker, second))

    await eventually(both)
