"""A start that cannot succeed ends soon, with one line that says what to do about it.

Its exit code is 2, or 1 where servers do not answer: these may be back a moment later, and then whoever starts the
worker is to try again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from support.eventually import eventually
from support.failed_start import AT_ONCE, CANNOT_START, START_AGAIN, last_line, one_line
from support.kafka import Kafka
from support.stack import Stack
from support.workers import BIN, Command, Workers

#: What has to be waited for is given up after 15 s (Kafka) or 10 s (ZooKeeper).
AFTER_A_WHILE = 40.0
KEY = "0123456789abcdef0123456789abcdef"


def run(*arguments: str, variables: Mapping[str, str] | None = None) -> str:
    """The one line of a command that is not a whole start."""
    done = subprocess.run(
        [BIN / arguments[0], *arguments[1:]],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=AT_ONCE,
        check=False,
    )
    assert done.stdout == ""
    return one_line(done.stderr, done.returncode)


# Options --------------------------------------------------------------------------------------------------------------


def test_an_unknown_option_a_missing_one_and_a_bad_value_are_one_line_each() -> None:
    named = ("fanout", "--id", "a", "--topic", "t")
    assert "--ack-wiat" in (line := run(*named, "--ack-wiat", "3s"))
    assert "--ack-wait" in line
    assert "--id" in (line := run("fanout", "--topic", "t"))
    assert "FANOUT_ID" in line
    assert "write it like 30s" in run(*named, "--ack-wait", "30")
    assert "a_b/c" in run("fanout", "--id", "a", "--topic", "a_b/c")
    assert "HOST:PORT" in run(*named, "--zookeepers", "one two")
    assert "shorter" in run(*named, "--backoff-first", "2s", "--backoff-longest", "1s")


def test_the_same_is_said_where_faust_starts_it() -> None:
    faust = ("faust", "-A", "fanout_app", "worker")
    named = {"FANOUT_ID": "a", "FANOUT_TOPIC": "t"}
    assert "export FANOUT_TOPIC=" in run(*faust, variables={"FANOUT_ID": "a"})
    assert "write it like 30s" in run(*faust, variables={**named, "FANOUT_ACK_WAIT": "30"})
    assert "shorter" in run(*faust, variables={**named, "FANOUT_BACKOFF_FIRST": "2m"})


def test_a_variable_of_a_link_that_makes_no_sense_is_one_line_too() -> None:
    named = {"FANOUT_ID": "a", "FANOUT_TOPIC": "t", "KAFKA_1_PORT_9092_TCP_ADDR": "127.0.0.1"}
    malformed = {**named, "KAFKA_1_PORT_9092_TCP_PORT": "tcp://127.0.0.1:9092"}
    for command in (("fanout",), ("faust", "-A", "fanout_app", "worker")):
        line = run(*command, variables=malformed)
        assert "KAFKA_1_PORT_9092_TCP_PORT is 'tcp://127.0.0.1:9092' and must be a port" in line
        assert "--brokers" in line


# The topic ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fanout", "faust"])
async def test_for_a_topic_that_does_not_exist_the_command_that_makes_it_is_shown(
    command: Command, kafka: Kafka, workers: Workers
) -> None:
    line = await last_line(workers.launch("nobody-made-this", command=command))
    assert "--create --topic nobody-made-this" in line


async def test_with_verbose_the_last_line_says_it_too(kafka: Kafka, workers: Workers) -> None:
    worker = workers.launch("nobody-made-this", environment={"FANOUT_VERBOSE": "1"})
    assert (await worker.ended(AT_ONCE)).code == CANNOT_START
    assert "--create --topic nobody-made-this" in worker.text().splitlines()[-1]
    assert "Traceback" not in worker.text()


async def test_a_dead_letter_topic_must_exist_and_be_none_of_those_in_use(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic()
    missing, source, ours = (
        workers.launch(topic, dead_letter_topic=name)
        for name in ("nobody-made-this", topic, f"fanout_service_{topic}-parked")
    )
    assert "--create --topic nobody-made-this" in await last_line(missing)
    assert "choose another topic" in await last_line(source)
    assert "choose another topic" in await last_line(ours)


# Topics of ours that somebody else has made ---------------------------------------------------------------------------


async def test_a_changelog_with_too_many_partitions_is_refused(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    await kafka.make_topic(f"fanout_service_{topic}-ledgers-changelog", 2, cleanup_policy="compact")
    assert "choose another --id" in await last_line(workers.launch(topic))


@pytest.mark.parametrize(
    ("suffix", "policy", "remedy"),
    [
        ("-ledgers-changelog", "delete", "cleanup.policy=compact"),
        ("", "delete", "cleanup.policy=compact"),
        ("-parked", "delete", "cleanup.policy=compact"),
    ],
)
async def test_a_topic_that_would_lose_what_is_written_to_it_shows_the_command_that_mends_it(
    suffix: str, policy: str, remedy: str, kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    ours = f"fanout_service_{topic}{suffix}"
    await kafka.make_topic(ours, 1, cleanup_policy=policy)
    line = await last_line(workers.launch(topic))
    assert f"kafka-configs.sh --bootstrap-server {kafka.brokers} --alter --topic {ours} --add-config {remedy}" in line


async def test_a_changelog_that_does_not_take_the_largest_rows_shows_both_ways_out(
    kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    changelog = f"fanout_service_{topic}-ledgers-changelog"
    await kafka.make_topic(changelog, 1, cleanup_policy="compact", max_message_bytes="100000")
    line = await last_line(workers.launch(topic, max_row_bytes="256KiB"))
    assert "must take 262144 (--max-row-bytes): lower that" in line
    assert f"--alter --topic {changelog} --add-config max.message.bytes=" in line


@pytest.mark.parametrize("suffix", ["", "-parked"])
async def test_a_board_or_a_topic_of_parked_messages_with_partitions_is_refused(
    suffix: str, kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    await kafka.make_topic(f"fanout_service_{topic}{suffix}", 2, cleanup_policy="compact")
    assert "must have 1" in (line := await last_line(workers.launch(topic)))
    assert "--delete --topic" in line


async def test_two_pairs_whose_names_run_together_are_told_apart(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    longer = f"b_{topic}"
    await kafka.make_topic(longer, 1)
    worker = await workers.start(topic, id="a_b", drain="0s")
    assert (await worker.terminate()).code == 0
    line = await last_line(workers.launch(longer, id="a"))
    assert f"--id a_b --topic {topic}" in line
    assert "choose another --id" in line


@pytest.mark.parametrize(
    ("key", "row", "remedy"),
    [
        ("0/3", "\x02whatever a newer version writes", "start the version that wrote it"),
        ("0/3", "\x01this is no row", "damaged"),
        ("key of somebody", "value of somebody", "delete"),
    ],
    ids=["newer", "damaged", "foreign"],
)
async def test_a_ledger_row_that_cannot_be_used_stops_the_worker(
    key: str, row: str, remedy: str, kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    first = await workers.start(topic, drain="0s")
    assert (await first.terminate()).code == 0
    await kafka.produce(f"fanout_service_{topic}-ledgers-changelog", row, keys=[key])
    line = await last_line(workers.launch(topic))
    assert remedy in line
    assert "whatever" not in line
    assert "somebody" not in line


# Servers --------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def listener(*, answers: bytes | None) -> AsyncIterator[str]:
    """The address of a server that is no Kafka: it says this to whatever it is asked, or nothing at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(1000):
                if answers is not None:
                    writer.write(answers)
                    break
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_addresses_at_which_there_is_no_kafka_are_given_up_with_what_is_wrong_there(
    workers: Workers,
) -> None:
    async with listener(answers=HTTP) as http, listener(answers=None) as silent:
        nobody = "127.0.0.1:1"
        wrong = {
            http: f"what listens at {http} does not answer as a Kafka broker",
            silent: f"what listens at {silent} does not answer as a Kafka broker",
            nobody: f"nothing listens at {nobody}",
            "name.invalid:9092": "name.invalid of name.invalid:9092 is not known",
        }
        started = [workers.launch("any", brokers=address) for address in wrong]
        lines = await asyncio.gather(*(last_line(worker, AFTER_A_WHILE, START_AGAIN) for worker in started))
    for line, said in zip(lines, wrong.values(), strict=True):
        assert said in line
        assert "--brokers" in line


async def test_addresses_at_which_there_is_no_zookeeper_are_given_up(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    async with listener(answers=HTTP) as http, listener(answers=None) as silent:
        wrong = [http, silent, "127.0.0.1:1", "name.invalid:2181"]
        started = [workers.launch(topic, zookeepers=address) for address in wrong]
        lines = await asyncio.gather(*(last_line(worker, AFTER_A_WHILE, START_AGAIN) for worker in started))
    for line, address in zip(lines, wrong, strict=True):
        assert f"no ZooKeeper answers at {address}" in line
        assert "--zookeepers" in line


async def test_a_node_of_zookeeper_that_everything_is_to_be_kept_below_must_exist(
    kafka: Kafka, stack: Stack, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    line = await last_line(workers.launch(topic, zookeepers=f"{stack.zookeepers}/not/there"))
    assert "no node /not/there" in line
    assert "--zookeepers" in line


async def test_servers_that_come_late_are_waited_for(kafka: Kafka, stack: Stack, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    async with late(stack.brokers) as (broker, broker_comes), late(stack.zookeepers) as (zookeeper, zookeeper_comes):
        worker = workers.launch(topic, brokers=broker, zookeepers=zookeeper, drain="0s")
        await eventually(lambda: f"nothing listens at {broker}" in worker.text(), AT_ONCE)
        await broker_comes()
        await eventually(lambda: f"no ZooKeeper answers at {zookeeper}; trying for" in worker.text(), AT_ONCE)
        await zookeeper_comes()
        await worker.ready(30.0)
        assert (await worker.terminate()).code == 0


@asynccontextmanager
async def late(server: str) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    """An address at which nothing listens until the coroutine beside it was called; then this server is there."""
    there_host, there_port = server.split(":")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_there = await asyncio.open_connection(there_host, int(there_port))
        await asyncio.gather(_copy(reader, to_there), _copy(there, writer))

    async with AsyncExitStack() as stack:
        reserved = stack.enter_context(socket.socket())
        reserved.bind(("127.0.0.1", 0))
        host, port = reserved.getsockname()

        async def comes() -> None:
            reserved.close()
            await stack.enter_async_context(await asyncio.start_server(forward, host, port))

        yield f"{host}:{port}", comes


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


# This machine ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["fanout", "faust"])
async def test_a_port_that_is_taken_is_refused_before_a_topic_is_made(
    command: Command, kafka: Kafka, workers: Workers
) -> None:
    topic = await kafka.new_topic(1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        worker = workers.launch(topic, bind=address, command=command)
        line = await last_line(worker)
    assert f"cannot serve at {address}" in line
    assert "--bind" in line
    assert "created topic" not in worker.text()


async def test_an_address_that_is_not_ours_is_refused(kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    line = await last_line(workers.launch(topic, bind="192.0.2.1:6066", environment={"FANOUT_INSECURE": "1"}))
    assert "cannot serve at 192.0.2.1:6066" in line
    assert "--bind" in line


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
async def test_serving_beyond_this_machine_has_to_be_meant(address: str, kafka: Kafka, workers: Workers) -> None:
    topic = await kafka.new_topic(1)
    line = await last_line(workers.launch(topic, bind=address))
    assert f"--bind {address}" in line
    assert "--insecure" in line


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "cannot be read"),
        ("", "holds no key"),
        ("\n  \n", "holds no key"),
        ("too short", "line 1 is no key"),
        (f"{KEY}\nwith spaces {KEY}", "line 2 is no key"),
    ],
    ids=["missing", "empty", "blank", "short", "spaces"],
)
async def test_a_file_of_lease_keys_that_cannot_be_used_is_refused(
    content: str | None, remedy: str, kafka: Kafka, workers: Workers, tmp_path: Path
) -> None:
    topic = await kafka.new_topic(1)
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    line = await last_line(workers.launch(topic, lease_key_file=str(path)))
    assert remedy in line
    assert "at least 32" in line
    assert KEY not in line


@pytest.mark.parametrize(
    ("content", "remedy"),
    [(None, "cannot be read"), ("", "holds no token"), (f"# ours\n{KEY} consume\n", "line 2 does not begin with")],
    ids=["missing", "empty", "clear"],
)
def test_a_file_of_tokens_that_cannot_be_used_is_refused(content: str | None, remedy: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_text(content)
    line = run("fanout", "--id", "a", "--topic", "t", "--tokens-file", str(path))
    assert remedy in line
    assert "SHA256 ROLE[,ROLE]" in line
    assert KEY not in line
