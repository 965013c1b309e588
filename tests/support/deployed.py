"""What `tests/long/test_deployed.py` runs in `bin/isolated`, where ports and names are free: servers, and a worker as
it is deployed, which hands out a message and ends.

``python -m support.deployed WAY IMAGE``: the image as `support.image` has built it, in JSON. An assertion that does not
hold ends it with a traceback.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.eventually import eventually
from support.image import Image
from support.kafka import Kafka
from support.stack import ROOT

ID, TOPIC = "service_x", "user_need"
BROKER = "127.0.0.1:9092"
URL = "http://localhost:6066"
LEASE_KEY = "0123456789abcdef0123456789abcdef"
READY = 60.0
#: From the first signal; `docs/operations.md`, Stopping.
_STOPS_WITHIN = 20.0

#: PR_SET_MDWE, which ends with the process, not with what it becomes.
_WITHOUT_NEW_CODE = (
    "import ctypes, os, sys; assert not ctypes.CDLL(None).prctl(65, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@dataclass(slots=True)
class Way:
    """One way to deploy a worker: what is started, and what is found around it."""

    command: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    user: str = ""
    #: Names of this machine beside localhost.
    hosts: str = ""
    token: str = ""
    drain: float = 3.0
    #: Paths that something asks whether it is ready.
    probes: tuple[str, ...] = ("/readyz",)
    #: What its log has to say.
    says: tuple[str, ...] = ()


# The ways -------------------------------------------------------------------------------------------------------------


def links(image: Image) -> Way:
    """The forerunner's command, and variables as Docker sets them for ``--link kafka:kafka --link zookeeper:zk``."""
    variables: dict[str, str] = {}
    for name, port in (("KAFKA", 9092), ("ZK", 2181)):
        at = f"{name}_PORT_{port}_TCP"
        variables |= {f"{name}_NAME": f"/worker/{name.lower()}", f"{name}_PORT": f"tcp://127.0.0.1:{port}"}
        variables |= {at: f"tcp://127.0.0.1:{port}", f"{at}_ADDR": "127.0.0.1", f"{at}_PORT": str(port)}
        variables |= {f"{at}_PROTO": "tcp"}
    return Way(
        [*image.entrypoint, "--id", ID, "--topic", TOPIC, "--insecure"],
        variables,
        says=("1 Kafka broker, from variables of container links", "1 ZooKeeper server, from variables of container"),
    )


def names(image: Image) -> Way:
    """The same where Docker sets no variables any more: links, and networks of one's own, give names."""
    return Way(
        [*image.entrypoint, "--id", ID, "--topic", TOPIC, "--insecure"],
        hosts="kafka zk",
        says=("1 Kafka broker, from host names: kafka:9092", "1 ZooKeeper server, from host names: zk:2181"),
    )


def kubernetes(image: Image) -> Way:
    """The container of the StatefulSet, as its first pod."""
    manifest = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "statefulset.yaml").read_text())
    pod: dict[str, Any] = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {"POD_NAME": "fanout-0", "POD_NAMESPACE": "prod"}
    for one in container["env"]:
        if "value" in one:
            value = one["value"].replace("$(POD_NAME)", "fanout-0").replace("$(POD_NAMESPACE)", "prod")
            variables[one["name"]] = value
    context = pod["securityContext"]
    token = _put_secrets(image, "/etc/fanout", group=context["fsGroup"])
    return Way(
        list(image.entrypoint),
        variables,
        user=f"{context['runAsUser']}:{context['runAsGroup']}",
        hosts="kafka fanout-0.fanout-workers.prod.svc",
        token=token,
        drain=10.0,
        probes=tuple(container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "readiness", "liveness")),
    )


def systemd(image: Image) -> Way:
    """``ExecStart`` with the file of options; the kernel keeps it from memory that is written and executed."""
    folder = ROOT / "deploy" / "systemd"
    settings = dict(line.split("=", 1) for line in (folder / "fanout.service").read_text().splitlines() if "=" in line)
    assert settings["MemoryDenyWriteExecute"] == "yes"
    options = (folder / "fanout.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in options if line and not line.startswith("#"))
    token = _put_secrets(image, "/etc/fanout", group=65533)
    return Way(
        ["python", "-c", _WITHOUT_NEW_CODE, *shlex.split(settings["ExecStart"])],
        # As systemd has it; the environment lies where the image has it.
        {**variables, "PATH": "/usr/bin:/bin:/base/bin"},
        user="65533:65533",
        hosts="kafka-1 kafka-2 kafka-3",
        token=token,
    )


WAYS: Mapping[str, Callable[[Image], Way]] = {way.__name__: way for way in (links, names, kubernetes, systemd)}


def _put_secrets(image: Image, folder: str, *, group: int) -> str:
    """The two files, for this group to be read. Answers a token."""
    done = subprocess.run(
        [ROOT / "bin" / "fanout", "token", "new", "orders"], capture_output=True, text=True, timeout=READY, check=True
    )
    (line,) = (line for line in done.stderr.splitlines() if line.endswith("name=orders"))
    image.put(f"{folder}/tokens", f"{line}\n", mode=0o440, group=group)
    image.put(f"{folder}/lease-keys", f"{LEASE_KEY}\n", mode=0o440, group=group)
    return done.stdout.strip()


# What happens ---------------------------------------------------------------------------------------------------------


@contextmanager
def servers() -> Iterator[None]:
    """At the ports that containers of Kafka and ZooKeeper have."""
    stack = [ROOT / "bin" / "stack"]
    ports = ["--kafka-port", "9092", "--zookeeper-port", "2181"]
    subprocess.run([*stack, "up", "--name", "deployed", "--kafka", "1", "--zookeeper", "1", *ports], check=True)
    try:
        subprocess.run([ROOT / "bin" / "topic", TOPIC, "--partitions", "2"], check=True)
        yield
    finally:
        subprocess.run([*stack, "down", "--name", "deployed"], check=True)


def curl(*arguments: str, token: str = "") -> str:
    """What curl prints; an answer that is no success is a failure."""
    sent = ["-H", f"Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "30", *sent, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"curl {shlex.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


async def deployed(image: Image, way: Way, log: Path) -> None:
    """A worker starts, hands out a message that is acked, is found to be well, and ends as it was asked to."""
    image.put("/etc/hosts", f"127.0.0.1 localhost {way.hosts}\n")
    async with Kafka(BROKER) as kafka:
        worker = start(image, way, log)
        try:
            await eventually(lambda: _is_ready(worker), READY)
            for path in way.probes:
                curl(f"{URL}{path}")
            await kafka.produce(TOPIC, "hello")
            answer = curl("--include", "--request", "POST", f"{URL}/v1/next", token=way.token)
            head, _, body = answer.partition("\n\n")
            assert body == "hello", answer
            lease = next(line.partition(": ")[2] for line in head.splitlines() if line.startswith("Fanout-Lease: "))
            curl("--request", "DELETE", f"{URL}/v1/leases/{lease}", token=way.token)
            assert health(image, way) == 0
            worker.terminate()
            assert await asyncio.to_thread(worker.wait, way.drain + _STOPS_WITHIN) == 0
        finally:
            if worker.poll() is None:
                worker.kill()
        assert health(image, way) == 1
        assert sum((await kafka.committed(ID, TOPIC)).values()) == 1
    read_through(await asyncio.to_thread(log.read_text), way)


def start(image: Image, way: Way, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as file:
        return subprocess.Popen(
            image.container(way.variables, *way.command, user=way.user),
            stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip


def read_through(text: str, way: Way) -> None:
    """It has found what there is, and complains of nothing."""
    assert all(said in text for said in way.says), text
    unexpected = [line for line in text.splitlines() if " INFO " not in line and "--insecure" not in line]
    assert unexpected == [], text


async def _is_ready(worker: subprocess.Popen[bytes]) -> bool:
    if worker.poll() is not None:
        raise RuntimeError(f"it has ended with {worker.returncode} before it was ready")
    try:
        curl(f"{URL}/readyz")
    except AssertionError:
        return False
    return True


def health(image: Image, way: Way) -> int:
    """The exit code of the image's own check, beside the worker in its container."""
    return subprocess.run(image.container(way.variables, *image.healthcheck), timeout=30, check=False).returncode


def refused(image: Image) -> None:
    """Without tokens and without --insecure it says what there is to choose from."""
    done = subprocess.run(
        image.container({}, *image.entrypoint, "--id", ID, "--topic", TOPIC),
        capture_output=True, text=True, timeout=READY, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "--tokens-file" in done.stderr.splitlines()[-1]
    assert "--insecure" in done.stderr.splitlines()[-1]
    version = subprocess.run(
        image.container({}, *image.entrypoint, "--version"), capture_output=True, text=True, check=True
    )
    assert version.stdout.rstrip().endswith(", compiled")


def main() -> None:
    name, described = sys.argv[1:]
    image = Image(**json.loads(Path(described).read_text()))
    log = Path(described).with_name(f"{name}.log")
    refused(image)
    try:
        with servers():
            asyncio.run(deployed(image, WAYS[name](image), log))
    finally:
        if log.exists():
            sys.stdout.write(log.read_text())


if __name__ == "__main__":
    main()
