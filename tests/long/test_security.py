"""All that can be encrypted, and whoever can be asked for a password: Kafka, ZooKeeper, workers, clients."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from fanout_client import Client
from support.certificates import Authority
from support.eventually import eventually
from support.failed_start import last_line
from support.kafka import Kafka
from support.stack import Stack, kafka_tool, running_stack
from support.workers import BIN, READY_TOGETHER, Worker, Workers, reserve_port

PASSWORD = "the-password-of-ann-that-nobody-sees"
OF_ZOOKEEPER = "the-password-for-zookeeper-that-nobody-sees"
_MODULE = "org.apache.kafka.common.security"


@dataclass(frozen=True, slots=True)
class Secured:
    """A Kafka that lets in whoever proves who they are, and its ZooKeeper."""

    stack: Stack
    #: ``HOST:PORT`` where it asks for a password, and where for a certificate.
    by_password: str
    by_certificate: str
    ca: Authority
    folder: Path

    def file(self, name: str, content: str) -> str:
        path = self.folder / name
        path.write_text(content + "\n")
        return str(path)

    def ann(self, **other: str) -> dict[str, Any]:
        """How a worker is let in by Kafka as ann; what is `other` is otherwise."""
        return {
            "brokers": self.by_password,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_ca": self.ca.file,
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_user": "ann",
            "kafka_password_file": self.file("kafka-password", PASSWORD),
            **other,
        }

    def of_zookeeper(self) -> dict[str, Any]:
        return {
            "zookeepers": self.stack.zookeepers,
            "zookeeper_user": "ann",
            "zookeeper_password_file": self.file("zookeeper-password", OF_ZOOKEEPER),
        }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ca = Authority(folder / "ca")
    held = [reserve_port(), reserve_port()]
    by_password, by_certificate = (f"127.0.0.1:{port.getsockname()[1]}" for port in held)
    further = f"SECURE://{by_password},MUTUAL://{by_certificate}"
    options = (
        f"listeners=+,{further}",
        f"advertised.listeners=+,{further}",
        "listener.security.protocol.map=+,SECURE:SASL_SSL,MUTUAL:SSL",
        "sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
        f"listener.name.secure.scram-sha-256.sasl.jaas.config={_MODULE}.scram.ScramLoginModule required;",
        f"listener.name.secure.scram-sha-512.sasl.jaas.config={_MODULE}.scram.ScramLoginModule required;",
        f'listener.name.secure.plain.sasl.jaas.config={_MODULE}.plain.PlainLoginModule required user_ann="{PASSWORD}";',
        "listener.name.mutual.ssl.client.auth=required",
        "ssl.keystore.type=PEM",
        f"ssl.keystore.location={ca.keystore('broker')}",
        "ssl.truststore.type=PEM",
        f"ssl.truststore.location={ca.file}",
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Whoever comes by the listener that asks for nothing: the broker itself, and the tests.
        "super.users=User:ANONYMOUS",
    )
    with held[0], held[1], running_stack(broker_options=options) as stack:
        for user, mechanism in (("ann", "SCRAM-SHA-512"), ("ann", "SCRAM-SHA-256"), ("bob", "SCRAM-SHA-512")):
            kafka_tool(
                "ConfigCommand", "--bootstrap-server", stack.brokers, "--alter", "--entity-type", "users",
                "--entity-name", user, "--add-config", f"{mechanism}=[password={PASSWORD}]",
            )  # fmt: skip
        yield Secured(stack, by_password, by_certificate, ca, folder)


def allow(secured: Secured, user: str, id: str, topic: str) -> None:
    """What a worker needs (`docs/security.md`), and nothing else."""
    base = ("AclCommand", "--bootstrap-server", secured.stack.brokers, "--add", "--allow-principal", f"User:{user}")
    ours = ("fanout_" + id + "_" + topic, "--resource-pattern-type", "prefixed")
    rights = {
        ("--topic", topic): ("Read", "Describe", "DescribeConfigs"),
        ("--topic", *ours): ("Read", "Write", "Create", "Describe", "DescribeConfigs", "Alter"),
        ("--group", *ours): ("Read", "Describe"),
    }
    for what, operations in rights.items():
        kafka_tool(*base, *what, *(part for operation in operations for part in ("--operation", operation)))


@pytest.fixture
async def topic(secured: Secured) -> str:
    async with Kafka(secured.stack.brokers) as kafka:
        return await kafka.new_topic(4)


def doctor_finds_nothing_wrong(options: dict[str, str]) -> None:
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    doctor = subprocess.run([str(BIN / "fanout"), "doctor", *given], capture_output=True, text=True, check=False)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr


async def take(http: aiohttp.ClientSession, worker: Worker, count: int) -> set[str]:
    """So many messages, acked."""
    taken: set[str] = set()
    while len(taken) < count:
        body = {"client": "ann", "max_messages": min(40, count - len(taken)), "wait_ms": 5000, "encoding": "utf8"}
        async with http.post(f"{worker.url}/v1/pull", json=body) as got:
            messages = (await got.json())["messages"] if got.status == 200 else []
        async with http.post(f"{worker.url}/v1/settle", json={"ack": [one["lease"] for one in messages]}) as got:
            assert (await got.json())["acked"] == len(messages)
        taken |= {one["value"] for one in messages}
    return taken


async def drained(worker: Worker) -> bool:
    status = await worker.status()
    return bool(status["lag"] == 0 and status["in_flight"] == 0)


async def test_a_cluster_where_nothing_is_in_the_clear(secured: Secured, topic: str, tmp_path: Path) -> None:
    """Two workers by HTTPS with each other's certificates, Kafka by SCRAM, ZooKeeper by digest; one is ended."""
    allow(secured, "ann", "service", topic)
    ca = Authority(tmp_path / "workers")
    one, client = ca.issue("worker"), ca.issue("client")
    trust = ca.trusted(client)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        workers = Workers(secured.by_password, tmp_path, http)
        try:
            how: dict[str, Any] = {
                **secured.ann(), **secured.of_zookeeper(),
                "tls_cert": one.cert, "tls_key": one.key, "client_ca": ca.file, "peer_ca": ca.file,
            }  # fmt: skip
            pair = [workers.launch(topic, environment={"FANOUT_VERBOSE": "1"}, **how) for _ in range(2)]
            await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in pair))
            await eventually(lambda: owns_half(pair[0]))
            async with Kafka(secured.stack.brokers) as kafka:
                for partition in range(4):
                    await kafka.produce(topic, *(f"{partition} {number}" for number in range(50)), partition=partition)
            # One is asked alone: half of what it hands out comes from the other one, by their connection.
            taken = await take(http, pair[0], 150)
            assert [row["address"][:8] for row in (await pair[0].workers()).values()] == ["https://"] * 2
            assert (await pair[1].terminate(30)).code == 0
            taken |= await take(http, pair[0], 50)
            assert len(taken) == 200
            await eventually(lambda: drained(pair[0]))
            status = await pair[0].status()
            assert (status["leader"], status["degraded"]) == (status["worker"], [])
            for worker in pair:
                log = worker.log.read_text()
                assert "DEBUG" in log
                assert "Traceback" not in log
                for secret in (PASSWORD, OF_ZOOKEEPER, "PRIVATE KEY"):
                    assert secret not in log
        finally:
            workers.close()
    root = f"/fanout/service/{topic}"
    stranger = KazooClient(secured.stack.zookeepers)
    ann = KazooClient(secured.stack.zookeepers, auth_data=[("digest", f"ann:{OF_ZOOKEEPER}")])
    for zookeeper in (stranger, ann):
        zookeeper.start(10)
    assert len(ann.get(f"{root}/lease-key")[0]) == 32
    for path in (f"{root}/lease-key", root, f"{root}/leader"):
        with pytest.raises(NoAuthError):
            stranger.get(path)
    for zookeeper in (stranger, ann):
        zookeeper.stop()
        zookeeper.close()


async def owns_half(worker: Worker) -> bool:
    return len(await worker.partitions()) == 2


@pytest.mark.parametrize("way", ["SCRAM-SHA-256", "PLAIN", "a certificate"])
async def test_the_other_ways_in(way: str, secured: Secured, topic: str, workers: Workers) -> None:
    if way == "a certificate":
        allow(secured, "*", "service", topic)
        mine = secured.ca.issue("mine")
        how = {"brokers": secured.by_certificate, "kafka_security_protocol": "SSL", "kafka_ca": secured.ca.file,
               "kafka_cert": mine.cert, "kafka_key": mine.key}  # fmt: skip
    else:
        allow(secured, "ann", "service", topic)
        how = secured.ann(kafka_sasl_mechanism=way)
    worker = await workers.start(topic, **how)
    async with Kafka(secured.stack.brokers) as kafka:
        await kafka.produce(topic, "a", "b", "c")
    async with Client(worker.url) as client:
        taken = set()
        async for message in client:
            taken.add(message.text())
            if len(taken) == 3:
                break
    assert (await worker.terminate(30)).code == 0
    await asyncio.to_thread(doctor_finds_nothing_wrong, {"id": "service", "topic": topic, **how})


async def test_who_is_not_let_in_is_told_why_in_one_line(
    secured: Secured, topic: str, workers: Workers, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    wrong = secured.file("wrong-password", "not-the-password-of-ann")
    for how, why in (
        (
            secured.ann(kafka_password_file=wrong),
            "does not know --kafka-user ann with the password of --kafka-",
        ),
        (secured.ann(kafka_user="nobody"), "does not know --kafka-user nobody"),
        (secured.ann(kafka_ca=other.file), "is not to be trusted (unable to get local issuer certificate)"),
        (secured.ann(kafka_user="bob"), f"--operation Describe --operation Read --topic {topic}"),
    ):
        worker = workers.launch(topic, **how)
        line = await last_line(worker)
        assert why in line
        assert "not-the-password" not in worker.text()
        assert PASSWORD not in worker.text()


async def test_another_password_for_zookeeper_is_another_user_who_may_not(
    secured: Secured, topic: str, workers: Workers
) -> None:
    allow(secured, "ann", "service", topic)
    first = await workers.start(topic, **secured.ann(), **secured.of_zookeeper())
    assert (await first.terminate(30)).code == 0
    wrong = {**secured.of_zookeeper(), "zookeeper_password_file": secured.file("wrong", "another-password")}
    refused = workers.launch(topic, **secured.ann(), **wrong)
    line = await last_line(refused)
    assert "refuses" in line
    assert "allow --zookeeper-user ann with his password to create, read and write below /fanout" in line
    # With the lease key from elsewhere it starts, serves, and says that it will not lead.
    key = secured.file("lease-key", "0123456789abcdef0123456789abcdef")
    alone = await workers.start(topic, **secured.ann(), **wrong, lease_key_file=key)
    await eventually(lambda: "ZooKeeper refuses this worker" in alone.text())
    assert "another-password" not in alone.text() + refused.text()
