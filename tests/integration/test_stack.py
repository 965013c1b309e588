"""bin/stack, the servers every other test leans on: it must give them what it says and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

ROOT = Path(__file__).resolve().parents[2]


def stack(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "bin" / "stack", *arguments], capture_output=True, text=True, timeout=90, check=False)


def name_of(purpose: str) -> str:
    """Of this run of the tests alone: another may be under way in the same checkout."""
    return f"test-{purpose}-{os.getpid()}"


def up(name: str, *options: str) -> dict[str, Any]:
    done = stack("up", "--json", "--name", name, *options)
    assert done.returncode == 0, done.stderr
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def down(name: str) -> None:
    done = stack("down", "--name", name)
    assert done.returncode == 0, done.stderr


def pids(described: dict[str, Any]) -> list[int]:
    return [server["pid"] for server in described["servers"].values()]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def state_of(name: str, server: str) -> str:
    known = {known["name"]: known for known in json.loads(stack("status", "--json").stdout)}
    state: str = known[name]["servers"][server]["state"]
    return state


def until(holds: Callable[[], bool], *, deadline: float = 10.0) -> None:
    ends = time.monotonic() + deadline
    while not holds():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Two stacks, started at the same time so that they compete for ports."""
    one, two = name_of("one"), name_of("two")
    try:
        starting = [
            subprocess.Popen([ROOT / "bin" / "stack", "up", "--json", "--name", name], stdout=subprocess.PIPE)
            for name in (one, two)
        ]
        first, second = [json.loads(process.communicate(timeout=90)[0]) for process in starting]
        yield first, second
    finally:
        for name in (one, two):
            down(name)


@pytest.fixture
def zookeeper_alone() -> Iterator[dict[str, Any]]:
    name = name_of("small")
    try:
        yield up(name, "--kafka", "0")
    finally:
        down(name)


def test_two_stacks_stand_side_by_side(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    ports = [server["port"] for described in pair for server in described["servers"].values()]
    assert len(set(ports)) == 4
    for port in ports:
        socket.create_connection(("127.0.0.1", port), 2).close()
    asyncio.run(create_topic(pair[0]["brokers"], "only-in-one"))
    assert "only-in-one" in asyncio.run(topics(pair[0]["brokers"]))
    assert "only-in-one" not in asyncio.run(topics(pair[1]["brokers"]))


def test_a_second_up_changes_nothing(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    again = up(pair[1]["name"])
    assert pids(again) == pids(pair[1])
    assert again["brokers"] == pair[1]["brokers"]


def test_a_killed_broker_comes_back_with_its_port_and_data(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    described = pair[1]
    name, brokers = described["name"], described["brokers"]
    asyncio.run(create_topic(brokers, "kept"))
    asyncio.run(write(brokers, "kept", b"before"))

    assert stack("kill", "kafka-1", "--name", name).returncode == 0
    assert not runs(described["servers"]["kafka-1"]["pid"])
    assert state_of(name, "kafka-1") == "down"
    started = stack("start", "kafka-1", "--name", name)

    assert started.returncode == 0, started.stderr
    assert up(name)["brokers"] == brokers
    assert asyncio.run(first_message(brokers, "kept")) == b"before"


def test_pause_and_resume_one_server(zookeeper_alone: dict[str, Any]) -> None:
    name = zookeeper_alone["name"]
    assert stack("pause", "zookeeper-1", "--name", name).returncode == 0
    until(lambda: state_of(name, "zookeeper-1") == "paused")
    assert stack("resume", "zookeeper-1", "--name", name).returncode == 0
    until(lambda: state_of(name, "zookeeper-1") == "up")


def test_servers_that_need_each_other_are_started_together() -> None:
    name = name_of("quorum")
    three = [f"zookeeper-{number}" for number in (1, 2, 3)]
    try:
        up(name, "--kafka", "0", "--zookeeper", "3")
        assert stack("kill", *three, "--name", name).returncode == 0
        assert {state_of(name, server) for server in three} == {"down"}
        started = stack("start", *three, "--name", name)
        assert started.returncode == 0, started.stderr
        assert {state_of(name, server) for server in three} == {"up"}
    finally:
        down(name)


def test_a_place_is_for_a_server_that_is_to_be_there() -> None:
    refused = stack("up", "--name", name_of("nowhere"), "--place", "kafka-2=127.0.0.2")
    assert refused.returncode == 1
    assert "kafka-2" in refused.stderr


def test_a_server_may_have_an_address_of_its_own() -> None:
    name = name_of("elsewhere")
    try:
        described = up(name, "--kafka", "0", "--place", "zookeeper-1=127.0.0.2")
        assert described["zookeepers"] == f"127.0.0.2:{described['servers']['zookeeper-1']['port']}"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", described["servers"]["zookeeper-1"]["port"]), 2)
        moved = stack("up", "--name", name, "--place", "zookeeper-1=127.0.0.3")
        assert moved.returncode == 1
        assert "zookeeper-1 is at 127.0.0.2, not at 127.0.0.3" in moved.stderr
    finally:
        down(name)


def test_down_leaves_no_process_and_no_data() -> None:
    described = up(name_of("gone"), "--kafka", "0", "--zookeeper", "3")
    assert stack("pause", "zookeeper-2", "--name", described["name"]).returncode == 0
    down(described["name"])
    assert not any(runs(pid) for pid in pids(described))
    assert not (ROOT / ".local" / "stacks" / described["name"]).exists()


def test_down_spares_a_process_that_got_the_pid_of_a_dead_server(zookeeper_alone: dict[str, Any]) -> None:
    name = zookeeper_alone["name"]
    assert stack("kill", "zookeeper-1", "--name", name).returncode == 0
    file = ROOT / ".local" / "stacks" / name / "stack.json"
    kept = json.loads(file.read_text())
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            kept["servers"][0]["pid"] = bystander.pid
            file.write_text(json.dumps(kept))
            assert state_of(name, "zookeeper-1") == "down"
            down(name)
            assert bystander.poll() is None
        finally:
            bystander.send_signal(signal.SIGKILL)


def test_a_server_that_cannot_start_is_shown_and_the_others_ended() -> None:
    name = name_of("broken")
    failed = stack("up", "--name", name, "--kafka", "0", "--zookeeper-option", "tickTime=never")
    assert failed.returncode == 1
    assert "zookeeper-1 ended while it was starting" in failed.stderr
    assert "never" in failed.stderr
    assert not (ROOT / ".local" / "stacks" / name).exists()


async def create_topic(brokers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def topics(brokers: str) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def write(brokers: str, topic: str, body: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, body)
    finally:
        await producer.stop()


async def first_message(brokers: str, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        record = await asyncio.wait_for(consumer.getone(), 10)
        body: bytes = record.value
        return body
    finally:
        await consumer.stop()


FORMAT_WITH_A_DASH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import servers
from state import Server
broker = Server("kafka", 1, 21001, [21002], {})
tool = servers.prepare(broker, [broker], Path(sys.argv[2]), "-" + "A" * 21)
output, _ = tool.communicate(timeout=60)
sys.exit(output if tool.returncode else 0)
"""


def test_a_cluster_id_that_begins_with_a_dash_is_no_option(tmp_path: Path) -> None:
    """One id in 64 does; a stack that drew one failed to start."""
    local = ROOT / "compose/local"
    run = subprocess.run(
        [sys.executable, "-c", FORMAT_WITH_A_DASH, local, tmp_path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr


def test_servers_start_from_the_classes_that_were_archived_for_them() -> None:
    """Else a start costs twice as much, and a run of the tests has dozens."""
    name = name_of("archived")
    try:
        for server, described in up(name)["servers"].items():
            archive = ROOT / ".local/classpath" / f"{server.partition('-')[0]}.jsa"
            assert str(archive) in Path(f"/proc/{described['pid']}/maps").read_text()
    finally:
        down(name)
