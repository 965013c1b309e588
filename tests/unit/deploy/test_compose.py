"""`compose/` is consistent in itself, with what a worker looks for and with the options it has; no engine is needed."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import Any

import pytest
import yaml

from fanout_app.discovery import complete
from fanout_app.options import Options
from support.dockerfile import stages
from unit.deploy.deployed import ROOT, least_grace, options_of, port_of

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose" / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGE = stages((ROOT / "compose" / "Dockerfile").read_text())[-1]
KAFKAS = ["kafka_1", "kafka_2", "kafka_3"]
ZOOKEEPERS = ["zk_1", "zk_2", "zk_3"]
WORKERS = ["worker_1", "worker_2"]


def of_each(services: list[str], variable: str) -> list[Any]:
    return [SERVICES[name]["environment"][variable] for name in services]


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    """As a worker in its container reads them: those of the image, and over them those of the service."""
    image = {name: value for name, value in IMAGE.one("ENV").variables({}).items() if name.startswith("FANOUT_")}
    return options_of({**image, **SERVICES["worker_1"]["environment"]}, monkeypatch)


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
    for worker in WORKERS:
        assert SERVICES[worker]["environment"] == SERVICES["worker_1"]["environment"]
        (published,) = SERVICES[worker]["ports"]
        assert re.fullmatch(rf"127\.0\.0\.1:\d+:{port_of(options.bind)}", published), "--insecure is for this machine"
        assert float(SERVICES[worker]["stop_grace_period"].removesuffix("s")) >= least_grace(options)
    assert options.insecure


def test_a_worker_may_do_nothing_that_it_does_not_need() -> None:
    for worker in WORKERS:
        assert SERVICES[worker]["read_only"] is True
        assert SERVICES[worker]["cap_drop"] == ["ALL"]
        assert SERVICES[worker]["security_opt"] == ["no-new-privileges:true"]


def test_servers_have_the_versions_that_are_tested_with() -> None:
    for services, image, pom in ((KAFKAS, "apache/kafka", "kafka"), (ZOOKEEPERS, "zookeeper", "zookeeper")):
        (used,) = {SERVICES[name]["image"] for name in services}
        version = used.removeprefix(f"{image}:")
        assert f">{version}</" in (ROOT / "compose" / "local" / pom / "pom.xml").read_text()
    assert SERVICES["topic"]["image"] == SERVICES["kafka_1"]["image"]


def test_workers_are_built_from_the_dockerfile_beside_it() -> None:
    for worker in WORKERS:
        build = SERVICES[worker]["build"]
        assert (ROOT / "compose" / build["context"] / build["dockerfile"]).samefile(ROOT / "compose" / "Dockerfile")
