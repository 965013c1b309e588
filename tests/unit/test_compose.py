"""`compose/` is consistent in itself, with what a worker looks for and with the options it has; no engine is needed."""

from __future__ import annotations

import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from fanout_app.discovery import complete
from fanout_app.environment import unknown_variables
from fanout_app.options import TABLE, Options, from_environment

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose" / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "compose" / "Dockerfile").read_text()
KAFKAS = ["kafka_1", "kafka_2", "kafka_3"]
ZOOKEEPERS = ["zk_1", "zk_2", "zk_3"]
WORKERS = ["worker_1", "worker_2"]
#: Seconds on top of the drain that a stop may take, see `docs/operations.md`.
STOPS_WITHIN = 15.0


def of_each(services: list[str], variable: str) -> list[Any]:
    return [SERVICES[name]["environment"][variable] for name in services]


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    """As a worker in its container reads them."""
    for option in TABLE:
        monkeypatch.delenv(str(option.envvar), raising=False)
    for name, value in SERVICES["worker_1"]["environment"].items():
        monkeypatch.setenv(name, value)
    return from_environment()


def test_there_are_three_of_each_and_two_workers() -> None:
    assert sorted(SERVICES) == sorted([*KAFKAS, *ZOOKEEPERS, *WORKERS, "topic"])
    for name in (*KAFKAS, *ZOOKEEPERS):
        assert SERVICES[name]["hostname"] == name
        assert [volume.partition(":")[0] for volume in SERVICES[name]["volumes"]] == [name]
        assert name in COMPOSE["volumes"]


def test_a_worker_finds_all_of_them_by_their_names_and_starts_when_these_are_known(options: Options) -> None:
    found = complete(options, {}, lambda name: {name} if name in SERVICES else set())
    assert found.brokers_list == [f"{name}:9092" for name in KAFKAS]
    assert found.zookeepers.split(",") == [f"{name}:2181" for name in ZOOKEEPERS]
    for worker in WORKERS:
        waits_for = SERVICES[worker]["depends_on"]
        assert {name: waits_for[name]["condition"] for name in (*KAFKAS, *ZOOKEEPERS)} == dict.fromkeys(
            (*KAFKAS, *ZOOKEEPERS), "service_healthy"
        )
        assert waits_for["topic"] == {"condition": "service_completed_successfully"}
        assert all("healthcheck" in SERVICES[name] for name in waits_for if name != "topic")


def test_the_brokers_make_one_cluster() -> None:
    assert of_each(KAFKAS, "KAFKA_ADVERTISED_LISTENERS") == [f"PLAINTEXT://{name}:9092" for name in KAFKAS]
    nodes = of_each(KAFKAS, "KAFKA_NODE_ID")
    voters = ",".join(f"{node}@{name}:9093" for node, name in zip(nodes, KAFKAS, strict=True))
    assert set(of_each(KAFKAS, "KAFKA_CONTROLLER_QUORUM_VOTERS")) == {voters}
    assert len(set(nodes)) == len(KAFKAS)
    (cluster,) = set(of_each(KAFKAS, "CLUSTER_ID"))
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", cluster)


def test_the_zookeeper_servers_make_one_too() -> None:
    numbers = of_each(ZOOKEEPERS, "ZOO_MY_ID")
    servers = " ".join(f"server.{n}={name}:2888:3888;2181" for n, name in zip(numbers, ZOOKEEPERS, strict=True))
    assert set(of_each(ZOOKEEPERS, "ZOO_SERVERS")) == {servers}
    assert len(set(numbers)) == len(ZOOKEEPERS)


def test_the_topic_is_that_of_the_workers_and_survives_a_broker(options: Options) -> None:
    words = shlex.split(SERVICES["topic"]["command"])
    given = dict(pairwise(words))
    assert given["--topic"] == options.topic
    assert given["--bootstrap-server"] in [f"{name}:9092" for name in KAFKAS]
    assert given["--replication-factor"] == str(len(KAFKAS))
    assert given["--config"] == "min.insync.replicas=2"


def test_a_workers_variables_are_options_and_it_is_reached_from_this_machine_alone(options: Options) -> None:
    (bind_port,) = {str(options.bind).rpartition(":")[2]}
    for worker in WORKERS:
        assert SERVICES[worker]["environment"] == SERVICES["worker_1"]["environment"]
        (published,) = SERVICES[worker]["ports"]
        assert re.fullmatch(rf"127\.0\.0\.1:\d+:{bind_port}", published), "--insecure is for this machine alone"
        assert float(SERVICES[worker]["stop_grace_period"].removesuffix("s")) > options.drain + STOPS_WITHIN
        assert f"localhost:{bind_port}/readyz" in " ".join(SERVICES[worker]["healthcheck"]["test"])
    assert unknown_variables(SERVICES["worker_1"]["environment"]) == []
    assert f"EXPOSE {bind_port}\n" in DOCKERFILE
    assert options.insecure


def test_servers_have_the_versions_that_are_tested_with() -> None:
    for services, image, pom in ((KAFKAS, "apache/kafka", "kafka"), (ZOOKEEPERS, "zookeeper", "zookeeper")):
        (used,) = {SERVICES[name]["image"] for name in services}
        version = used.removeprefix(f"{image}:")
        assert f">{version}</" in (ROOT / "compose" / "local" / pom / "pom.xml").read_text()
    assert SERVICES["topic"]["image"] == SERVICES["kafka_1"]["image"]


def test_the_image_has_what_it_needs_and_runs_our_command() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = [words for line in re.findall(r"^COPY ([^-].*)$", DOCKERFILE, re.M) for words in line.split()[:-1]]
    assert all((ROOT / name).exists() for name in copied)
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    built_from = {"pyproject.toml", "setup.py", project["project"]["readme"]}
    assert packages | built_from | {"constraints.txt"} == set(copied)
    (base,) = re.findall(r"^FROM python:(\d+\.\d+)-slim$", DOCKERFILE, re.M)
    # A wheel of another version of Python would not fit.
    assert re.findall(r"^FROM python:(\S+) AS wheel$", DOCKERFILE, re.M) == [base]
    assert project["project"]["requires-python"] == f">={base}"
    (command,) = re.findall(r'^ENTRYPOINT \["(\w+)"\]$', DOCKERFILE, re.M)
    assert command in project["project"]["scripts"]
    build = SERVICES["worker_1"]["build"]
    assert (ROOT / "compose" / build["context"] / build["dockerfile"]).samefile(ROOT / "compose" / "Dockerfile")
