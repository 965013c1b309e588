"""A worker that serves HTTPS: by the command, as clients, operators and scripts ask it, and while it is renewed."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fanout_client import Client
from fanout_client.sync import Client as SyncClient
from support.certificates import Authority
from support.eventually import eventually
from support.kafka import Kafka
from support.stack import Stack
from support.workers import BIN, Worker, Workers

TOKEN = "a-token-that-is-never-to-be-seen-in-any-log"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def clients(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "clients")


@pytest.fixture
async def http(ca: Authority, clients: Authority) -> AsyncIterator[aiohttp.ClientSession]:
    """Trusts the CA of workers, and has a certificate of clients."""
    trust = ca.trusted(clients.issue("ann"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as http:
        yield http


@pytest.fixture
def workers(http: aiohttp.ClientSession, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers("", tmp_path, http)
    yield workers
    workers.close()


async def start(workers: Workers, ca: Authority, **how: object) -> Worker:
    one = ca.issue("worker")
    return await workers.start("memory", memory=True, tls_cert=one.cert, tls_key=one.key, **how)


async def produce(http: aiohttp.ClientSession, worker: Worker, *values: str, **how: Any) -> None:
    body = {"messages": [{"value": value} for value in values]}
    async with http.post(f"{worker.url}/v1/produce", json=body, **how) as got:
        assert got.status == 200, await got.text()


def some_of(key: str) -> str:
    return Path(key).read_text().splitlines()[1]


def curl(*arguments: str) -> str:
    done = subprocess.run(["curl", "-sS", "-i", "-m", "20", *arguments], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


async def test_curl_takes_a_message_and_acks_it(ca: Authority, workers: Workers, http: aiohttp.ClientSession) -> None:
    worker = await start(workers, ca)
    await produce(http, worker, "hello")
    took = curl("--cacert", ca.file, "-X", "POST", f"{worker.url}/v1/next")
    assert "\n\nhello" in took.replace("\r", ""), took
    lease = re.search(r"(?i)location: (/v1/leases/\S+)", took)
    assert lease is not None, took
    assert " 204" in curl("--cacert", ca.file, "-X", "DELETE", worker.url + lease[1])
    assert (await worker.status())["in_flight"] == 0
    assert [row["address"] for row in (await worker.workers()).values()] == [worker.url]
    # Nobody else's CA, nor none, nor an older version, nor HTTP.
    assert "unable to get local issuer certificate" in curl(f"{worker.url}/healthz")
    assert "SSL" in curl("--cacert", ca.file, "--tls-max", "1.1", f"{worker.url}/healthz")
    plain = curl(worker.url.replace("https", "http") + "/healthz")
    assert " 400 " in plain
    assert "this port serves HTTPS" in plain
    assert "Traceback" not in worker.text()


async def test_operators_have_a_port_of_their_own_with_https(
    ca: Authority, kafka: Kafka, stack: Stack, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    one = ca.issue("worker")
    workers = Workers(stack.brokers, tmp_path, http)
    try:
        worker = await workers.start(await kafka.new_topic(1), admin_port="0", tls_cert=one.cert, tls_key=one.key)
        (operators,) = re.findall(r"serving those who run it at (https://127\.0\.0\.1:\d+)", worker.text())
        assert " 200 " in curl("--cacert", ca.file, f"{operators}/v1/status")
        assert " 404 " in curl("--cacert", ca.file, "-X", "POST", f"{operators}/v1/next?wait_ms=0")
        assert " 204 " in curl("--cacert", ca.file, "-X", "POST", f"{worker.url}/v1/next?wait_ms=0")
        assert "unable to get local issuer certificate" in curl(f"{operators}/healthz")
        plain = curl(operators.replace("https", "http") + "/v1/status")
        assert " 400 " in plain
        assert "this port serves HTTPS" in plain
    finally:
        workers.close()


async def test_the_clients_in_python_take_messages(
    ca: Authority, clients: Authority, workers: Workers, http: aiohttp.ClientSession
) -> None:
    worker = await start(workers, ca, client_ca=clients.file)
    await produce(http, worker, "a", "b")
    trust = ca.trusted(clients.issue("bob"))
    async with Client(worker.url, ssl=trust) as client:
        async for message in client:
            assert message.text() == "a"
            break
    with SyncClient(worker.url, verify=trust) as synchronous:
        assert next(iter(synchronous)).text() in ("a", "b")


async def test_whoever_has_no_certificate_is_refused_and_the_log_stays_clean(
    ca: Authority, clients: Authority, workers: Workers, http: aiohttp.ClientSession
) -> None:
    worker = await start(workers, ca, client_ca=clients.file)
    before = worker.text()
    for shown in (None, ca.issue("stranger"), clients.issue("late", days=-1)):
        given = ("--cert", shown.cert, "--key", shown.key) if shown else ()
        got = curl("--cacert", ca.file, *given, f"{worker.url}/healthz")
        assert got.startswith("curl: ("), got
    assert (await worker.status())["degraded"] == []
    assert worker.text() == before


async def test_a_certificate_is_renewed_while_a_worker_runs(
    ca: Authority, workers: Workers, http: aiohttp.ClientSession
) -> None:
    worker = await start(workers, ca)
    assert (await worker.status())["degraded"] == []
    ca.issue("worker", days=-1)

    async def refused() -> bool:
        return "certificate has expired" in curl("--cacert", ca.file, f"{worker.url}/healthz")

    await eventually(refused)
    # On the connection that is open.
    (reason,) = (await worker.status())["degraded"]
    assert "worker.pem has expired" in reason
    ca.issue("worker")
    await eventually(lambda: " 200 " in curl("--cacert", ca.file, f"{worker.url}/healthz"))
    assert (await worker.status())["degraded"] == []


async def test_no_secret_is_in_the_log_of_a_start_that_logs_every_decision(
    ca: Authority, workers: Workers, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    tokens, keys = tmp_path / "tokens", tmp_path / "keys"
    hashed = sha256(TOKEN.encode()).hexdigest()
    tokens.write_text(f"{hashed} consume,admin name=ann\n")
    keys.write_text("a-lease-key-that-is-never-to-be-seen-either\n")
    worker = await start(
        workers, ca, tokens_file=str(tokens), lease_key_file=str(keys), environment={"FANOUT_VERBOSE": "1"}
    )
    await produce(http, worker, "a", headers=BEARER)
    for headers in (BEARER, {"Authorization": f"Bearer {TOKEN}-not-quite"}, {}):
        async with http.post(f"{worker.url}/v1/next", headers=headers) as got:
            assert got.status == (200 if headers == BEARER else 401)
    await worker.terminate()
    log = worker.text()
    assert "DEBUG" in log
    for secret in (TOKEN, hashed, keys.read_text().strip(), some_of(worker.start.options["tls_key"]), "PRIVATE KEY"):
        assert secret not in log


def test_a_start_with_what_cannot_be_used_says_so_in_one_line(ca: Authority, tmp_path: Path) -> None:
    one, two = ca.issue("one"), ca.issue("two")
    for options, why in (
        (("--tls-cert", one.cert), "--tls-cert is given and --tls-key is not"),
        (("--tls-cert", one.cert, "--tls-key", two.key), "key values mismatch"),
        (("--client-ca", ca.file), "--client-ca asks clients for certificates, which only TLS can do"),
        (("--tls-cert", one.cert, "--tls-key", one.key, "--bind", "0.0.0.0:0"), "whoever reaches it may take"),
    ):
        command = [str(BIN / "fanout"), "--memory", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert why in done.stderr
