"""`deploy/kubernetes` agrees with the worker's options, routes and limits, and with itself; `bin/compose check` has the
schemas.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from fanout_app.options import Options
from fanout_app.web.openapi import OPERATIONS
from support.dockerfile import stages
from unit.deploy.deployed import ROOT, bytes_of, least_grace, most_memory, options_of, port_of

FOLDER = ROOT / "deploy" / "kubernetes"
FOUND: list[dict[str, Any]] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]
BY_NAME: dict[tuple[str, str], dict[str, Any]] = {(one["kind"], one["metadata"]["name"]): one for one in FOUND}
WORKERS: dict[str, Any] = BY_NAME["StatefulSet", "fanout"]["spec"]
POD: dict[str, Any] = WORKERS["template"]["spec"]
(CONTAINER,) = POD["containers"]
ENV: dict[str, str] = {one["name"]: one.get("value", "") for one in CONTAINER["env"]}
LABELS: dict[str, str] = WORKERS["template"]["metadata"]["labels"]
#: By what a worker waits for: how long Kafka and ZooKeeper may take to answer, and a changelog to be read.
START_MAY_TAKE = 120.0


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    variables = {name: value for name, value in ENV.items() if name.startswith("FANOUT_")}
    # What Kubernetes fills in.
    variables = {name: value.replace("$(POD_NAME)", "fanout-0").replace("$(POD_NAMESPACE)", "prod")
                 for name, value in variables.items()}  # fmt: skip
    return options_of(variables, monkeypatch)


def budget(probe: dict[str, Any]) -> float:
    """Seconds after which the probe has failed for good."""
    return float(probe["periodSeconds"] * probe["failureThreshold"])


def test_each_selector_finds_the_pods_and_each_service_the_port(options: Options) -> None:
    assert len(BY_NAME) == len(FOUND)
    (port,) = CONTAINER["ports"]
    assert port["containerPort"] == port_of(options.bind)
    for name in ("fanout", WORKERS["serviceName"]):
        service = BY_NAME["Service", name]["spec"]
        assert service["selector"].items() <= LABELS.items()
        (served,) = service["ports"]
        # The one that others are told is the one of the pod, since the headless Service has no other.
        assert (served["port"], served["targetPort"]) == (port["containerPort"], port["name"])
    assert WORKERS["selector"]["matchLabels"].items() <= LABELS.items()
    assert BY_NAME["PodDisruptionBudget", "fanout"]["spec"]["selector"]["matchLabels"].items() <= LABELS.items()
    (spread,) = POD["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= LABELS.items()
    (apart,) = POD["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert apart["podAffinityTerm"]["labelSelector"]["matchLabels"].items() <= LABELS.items()


def test_workers_reach_each_other_by_the_names_of_their_pods_while_they_stop_too(options: Options) -> None:
    headless = BY_NAME["Service", WORKERS["serviceName"]]["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True
    assert options.advertise == f"fanout-0.{WORKERS['serviceName']}.prod.svc:{port_of(options.bind)}"
    # A variable is filled in where it stands before the one that has it.
    names = [one["name"] for one in CONTAINER["env"]]
    assert max(names.index("POD_NAME"), names.index("POD_NAMESPACE")) < names.index("FANOUT_ADVERTISE")
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in CONTAINER["env"] if "valueFrom" in one}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}
    assert POD["enableServiceLinks"] is False


def test_probes_ask_where_a_worker_answers() -> None:
    paths = {}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = CONTAINER[name]["httpGet"]
        assert ("GET", asked["path"]) in OPERATIONS
        assert asked["port"] == CONTAINER["ports"][0]["name"]
        paths[name] = asked["path"]
    # A worker that stops, or waits for Kafka, is not to be killed for it.
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}
    assert budget(CONTAINER["startupProbe"]) >= START_MAY_TAKE
    assert CONTAINER["livenessProbe"]["failureThreshold"] > 1


def test_a_stop_is_given_its_time_and_memory_what_a_worker_may_hold(options: Options) -> None:
    assert POD["terminationGracePeriodSeconds"] >= least_grace(options)
    # Every node has to hear of it first, and requests come until then.
    assert options.drain >= 5.0
    limits = CONTAINER["resources"]["limits"]
    assert bytes_of(limits["memory"]) >= most_memory(options)
    assert "cpu" not in limits


def test_one_worker_after_the_other() -> None:
    assert WORKERS["updateStrategy"] == {"type": "RollingUpdate"}
    assert WORKERS["minReadySeconds"] > 0
    assert BY_NAME["PodDisruptionBudget", "fanout"]["spec"]["maxUnavailable"] == 1
    assert WORKERS["replicas"] > 1


def test_secrets_are_files_that_follow_their_secret(options: Options) -> None:
    (mount,) = CONTAINER["volumeMounts"]
    (volume,) = POD["volumes"]
    assert mount["name"] == volume["name"]
    assert mount["readOnly"] is True
    # What is mounted so is never changed.
    assert "subPath" not in mount
    for path in (options.tokens_file, options.lease_key_file):
        assert str(PurePosixPath(str(path)).parent) == mount["mountPath"]
    # By the group, which is that of the process.
    assert volume["secret"]["defaultMode"] == 0o440
    assert POD["securityContext"]["fsGroup"] == POD["securityContext"]["runAsGroup"]
    assert not options.insecure


def test_it_may_do_nothing_that_it_does_not_need() -> None:
    image = stages((ROOT / "compose" / "Dockerfile").read_text())[-1]
    pod, container = POD["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == image.one("USER").text
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert POD["automountServiceAccountToken"] is False
