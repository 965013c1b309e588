"""ElasticMQ, a server of the API of Amazon SQS that keeps its messages in memory."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.peers.maven import class_path
from benchmarks.peers.processes import (
    Pids,
    end,
    free_port,
    launch,
    listening,
    load_generator,
    output_of,
    pids_argument,
    run_of,
)
from benchmarks.peers.system import ROOT, CannotRun, Drain, Paced, Run

FOLDER = ROOT / "benchmarks/peers/elasticmq"
#: By the limits of SQS, for messages received, deleted or sent by one request.
AT_ONCE = 10
#: Requests at the same time while a queue is filled.
SENDERS = 8


class ElasticMq:
    """One server for all runs; a queue is empty after a run."""

    name = "elasticmq"
    keeps_messages = False
    durability = "none: everything is in the server's memory; beside fanout with durable=false"
    batch_means = (
        "MaxNumberOfMessages of a receive, 10 at most, deleted by one DeleteMessageBatch, never with the next receive; "
        "clients are HTTP connections, and a queue has no partitions"
    )

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._address = ""
        self._load = Path()

    def versions(self) -> Mapping[str, str]:
        found = re.search(r"<version>([^<]*)</version>\s*</dependency>", (FOLDER / "pom.xml").read_text())
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[1]
        return {"elasticmq": found[1] if found else "unknown", "java": java, "load generator": "Go, net/http"}

    async def start(self, where: Path) -> None:
        self._load = await load_generator()
        jars = await class_path("elasticmq")
        web, log = free_port(), where / "elasticmq.log"
        self._address = f"http://127.0.0.1:{web}"
        options = {
            "rest-sqs.bind-hostname": "127.0.0.1",
            "rest-sqs.bind-port": web,
            "rest-stats.enabled": "false",
            "node-address.host": "127.0.0.1",
            "node-address.port": web,
            "logback.configurationFile": FOLDER / "logback.xml",
        }
        given = [f"-D{name}={value}" for name, value in options.items()]
        self._server = launch(["java", *given, "-cp", jars, "org.elasticmq.server.Main"], log)
        await listening(web, self._server, log)

    async def fill(self, topic: str, *, messages: int, size: int, partitions: int) -> None:
        chunks = iter([range(at, min(at + AT_ONCE, messages)) for at in range(0, messages, AT_ONCE)])

        async def send(session: aiohttp.ClientSession) -> None:
            for numbers in chunks:
                entries = [{"Id": str(number), "MessageBody": digits(number, size)} for number in numbers]
                answer = await self._ask(session, "SendMessageBatch", QueueUrl=self._queue(topic), Entries=entries)
                if answer.get("Failed"):
                    raise RuntimeError(f"not sent: {answer['Failed']}")

        async with aiohttp.ClientSession() as session:
            await self._ask(session, "CreateQueue", QueueName=topic)
            await asyncio.gather(*(send(session) for _ in range(SENDERS)))

    async def drain(self, topic: str, workload: Drain) -> Run:
        if workload.batch > AT_ONCE:
            raise CannotRun(f"SQS hands out {AT_ONCE} messages a request at most")
        assert self._server
        pids: Pids = {"server": [self._server.pid]}
        run = run_of(json.loads(await output_of(self._command(topic, workload, pids))))
        await self._nothing_left(topic)
        return run

    def _command(self, topic: str, workload: Drain, pids: Pids) -> Sequence[str]:
        return [
            str(self._load), "drain", "-protocol", "sqs", "-urls", self._queue(topic),
            "-messages", str(workload.messages), "-clients", str(workload.clients), "-batch", str(workload.batch),
            "-pids", pids_argument(pids), "-apart",
        ]  # fmt: skip

    async def _nothing_left(self, topic: str) -> None:
        """Raises RuntimeError where the server still has messages of the queue, visible or not."""
        async with aiohttp.ClientSession() as session:
            queue = self._queue(topic)
            answer = await self._ask(session, "GetQueueAttributes", QueueUrl=queue, AttributeNames=["All"])
        left = {name: value for name, value in answer["Attributes"].items() if name.startswith("ApproximateNumber")}
        if not left or any(value != "0" for value in left.values()):
            raise RuntimeError(f"the queue is not empty: {left}")

    def _queue(self, topic: str) -> str:
        return f"{self._address}/000000000000/{topic}"

    async def _ask(self, session: aiohttp.ClientSession, action: str, **body: object) -> dict[str, Any]:
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": f"AmazonSQS.{action}"}
        async with session.post(self._address, data=json.dumps(body), headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{action}: {answer.status} {(await answer.text())[:300]}")
            found: dict[str, Any] = json.loads(await answer.text())
            return found

    async def paced(self, topic: str, workload: Paced) -> Run:
        raise CannotRun("not built yet")

    async def stop(self) -> None:
        await end(self._server)
        self._server = None


def digits(number: int, size: int) -> str:
    """A message's text: its number in 16 hexadecimal digits, and zeros up to `size` characters; SQS has no bytes."""
    return f"{number:016x}".ljust(size, "0")
