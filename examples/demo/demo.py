"""The demo: starts everything, shows who gets what, and what happens to a message that nobody acks."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

ROOT = Path(__file__).resolve().parents[2]
STACK = "demo"
TOPIC = "user_need"
ID = "service_x"
PARTITIONS = 3
MESSAGES = 12
ACK_WAIT = 2.0


def say(text: str) -> None:
    print(text, flush=True)


@contextmanager
def running_stack(keep: bool) -> Iterator[dict[str, Any]]:
    say("starting Kafka and ZooKeeper ...")
    up = subprocess.run(
        [ROOT / "bin/stack", "up", "--name", STACK, "--json"], stdout=subprocess.PIPE, text=True, check=False
    )
    if up.returncode:
        raise SystemExit("the demo needs its own Kafka and ZooKeeper; see above why they did not start")
    try:
        yield json.loads(up.stdout)
    finally:
        if not keep:
            say("stopping Kafka and ZooKeeper ...")
            subprocess.run([ROOT / "bin/stack", "down", "--name", STACK], check=True)


@contextmanager
def running_worker(stack: dict[str, Any], keep: bool) -> Iterator[str]:
    """A worker; yields where it serves."""
    say(f"starting a worker: fanout --id {ID} --topic {TOPIC} --brokers {stack['brokers']} "
        f"--zookeepers {stack['zookeepers']}")  # fmt: skip
    log = ROOT / ".local/demo-worker.log"
    with log.open("w") as output:
        worker = subprocess.Popen(
            [Path(sys.executable).parent / "fanout", "--id", ID, "--topic", TOPIC,
             "--brokers", stack["brokers"], "--zookeepers", stack["zookeepers"]],
            stderr=output, stdout=subprocess.DEVNULL, start_new_session=keep,
        )  # fmt: skip
    try:
        yield _address(worker, log)
        if keep:
            say(f"\nleft running: worker {worker.pid} (log {log.relative_to(ROOT)}), stack {STACK!r}")
            say(f"end it with: kill {worker.pid}; bin/stack down --name {STACK}")
            return
    except BaseException:
        worker.kill()
        worker.wait()
        raise
    say("stopping the worker ...")
    worker.send_signal(signal.SIGTERM)
    code = worker.wait(20)
    say(f"the worker ended with exit code {code}")
    if code:
        raise SystemExit(f"the worker should have ended with 0, its log is {log.relative_to(ROOT)}")


def _address(worker: subprocess.Popen[bytes], log: Path, deadline: float = 20.0) -> str:
    """Where the worker serves, by its own log: the default port may be taken."""
    until = time.monotonic() + deadline
    while time.monotonic() < until:
        for line in log.read_text().splitlines():
            if " serving " in line:
                return line.rpartition(" at ")[2]
        if worker.poll() is not None:
            raise SystemExit(f"the worker did not start:\n{log.read_text()}")
        time.sleep(0.05)
    raise SystemExit(f"the worker is not up after {deadline:.0f} s:\n{log.read_text()}")


async def until_ready(http: aiohttp.ClientSession, deadline: float = 20.0) -> None:
    async with asyncio.timeout(deadline):
        while True:
            async with http.get("/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def make_topic(brokers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, PARTITIONS, 1)])
    finally:
        await admin.close()


async def produce(brokers: str, texts: list[str]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers)
    await producer.start()
    try:
        for number, text in enumerate(texts, 1):
            await producer.send_and_wait(TOPIC, text.encode(), partition=number % PARTITIONS)
            print(
                f"\rproducing [{'#' * number}{'.' * (len(texts) - number)}] {number}/{len(texts)}", end="", flush=True
            )
    finally:
        await producer.stop()
    print()


async def pull(http: aiohttp.ClientSession, client: str, ack_wait: float = 30.0) -> dict[str, Any] | None:
    """One message, or None if there is none within three seconds."""
    body = {"client": client, "wait_ms": 3000, "ack_wait_ms": int(ack_wait * 1000)}
    async with http.post("/v1/pull", json=body) as answer:
        answer.raise_for_status()
        return None if answer.status == 204 else (await answer.json())["messages"][0]


async def ack(http: aiohttp.ClientSession, message: dict[str, Any]) -> None:
    async with http.post("/v1/settle", json={"ack": [message["lease"]]}) as answer:
        answer.raise_for_status()
        if (await answer.json())["acked"] != 1:
            raise SystemExit(f"the ack was not taken: {await answer.text()}")


def shown(message: dict[str, Any]) -> str:
    text = base64.b64decode(message["value"]).decode()
    place = f"partition {message['partition']}, offset {message['offset']}"
    return f"{text!r:14} {place}, delivery {message['delivery_count']}"


async def in_turn(http: aiohttp.ClientSession) -> None:
    say("\ntwo clients pull in turn, and ack what they get:")
    for number in range(MESSAGES):
        client = "AB"[number % 2]
        message = await pull(http, client)
        if message is None:
            raise SystemExit("a message is missing")
        await ack(http, message)
        say(f"  {client} got {shown(message)}")


async def never_acked(http: aiohttp.ClientSession, brokers: str) -> None:
    say(f"\nnow a client that does not ack (its lease lasts {ACK_WAIT:.0f} s), and another one that waits:")
    await produce(brokers, ["one more"])
    first = await pull(http, "mute", ACK_WAIT)
    if first is None:
        raise SystemExit("the message is missing")
    began = time.monotonic()
    say(f"  mute got {shown(first)}, and keeps silent")
    second = await pull(http, "B")
    if second is None or second["offset"] != first["offset"]:
        raise SystemExit("the message did not come again")
    say(f"  B    got {shown(second)}, {time.monotonic() - began:.1f} s later")
    await ack(http, second)


async def show(address: str, brokers: str) -> None:
    async with aiohttp.ClientSession(address) as http:
        await until_ready(http)
        await produce(brokers, [f"message {number}" for number in range(1, MESSAGES + 1)])
        await in_turn(http)
        await never_acked(http, brokers)
        async with http.get("/v1/status") as answer:
            status = await answer.json()
        say(f"\nleft over: {status['waiting_messages']} waiting, {status['in_flight']} in flight")
        if status["waiting_messages"] or status["in_flight"]:
            raise SystemExit("nothing should be left")


def try_it(address: str, brokers: str) -> None:
    say("\ntry it:")
    say(
        f"  curl -i -X POST '{address}/v1/next?wait_ms=5000'      # waits for a message; then, with the Location shown:"
    )
    say(f"  curl -i -X DELETE {address}/v1/leases/...")
    say(f"  curl -s -X POST {address}/v1/pull -d '{{\"max_messages\": 10}}'")
    say(f"  curl -s {address}/v1/status")
    say(f"  .venv/bin/python examples/demo/demo.py --produce hello --brokers {brokers}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running and print what to try")
    parser.add_argument("--produce", metavar="TEXT", help="only produce one message to a demo that was kept")
    parser.add_argument("--brokers", help="with --produce: the brokers that were printed")
    args = parser.parse_args()
    if args.produce is not None:
        asyncio.run(produce(args.brokers, [args.produce]))
        return
    with running_stack(args.keep) as stack:
        asyncio.run(make_topic(stack["brokers"]))
        with running_worker(stack, args.keep) as address:
            asyncio.run(show(address, stack["brokers"]))
            if args.keep:
                try_it(address, stack["brokers"])


if __name__ == "__main__":
    main()
