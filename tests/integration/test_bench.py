"""bin/bench in small: that everything works and every message arrives, and not how fast."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.run.results import Results, read
from benchmarks.workloads.drain import BULK, QUICK, WORKLOAD

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
#: Nothing is installed: the packages of the extra `bench` are for systems, and a picture, that this does without.
COMMAND: list[str | Path] = [ROOT / "bin/bench", "drain", "--quick", "--no-install", "--only", BULK.name]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Of fanout, with JSON, with msgpack and with acks that are not durable, and of a bare consumer."""
    where = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [*COMMAND, "--peers", "aiokafka", "--results", where], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return read(where / "drain.json")


def test_every_system_ran_and_every_message_arrived(results: Results) -> None:
    # The reason, where there is no Go to build the load generator with.
    assert results.not_run == []
    assert {one.row.system for one in results.rows} == {"fanout", "fanout-msgpack", "fanout-not-durable", "aiokafka"}
    for one in results.rows:
        assert one.row.case == BULK.name
        assert one.row.figures["messages"] == QUICK
        assert one.row.figures["msg/s"] > 0


def test_cpu_of_worker_broker_and_clients_is_counted_apart(results: Results) -> None:
    ours = next(one.row for one in results.rows if one.row.system == "fanout")

    assert all(ours.figures[f"{part} us/msg"] > 0 for part in ("server", "broker", "clients"))


def test_ratios_are_there_and_those_of_what_ran_have_figures(results: Results) -> None:
    assert [one.ratio.text for one in results.ratios] == [ratio.text for ratio in WORKLOAD.ratios]
    measured = {one.ratio.of[0] for one in results.ratios if one.was}
    assert measured == {"fanout", "fanout-msgpack"}


def test_what_it_was_measured_on_is_there(results: Results) -> None:
    assert results.quick
    assert set(results.circumstances.machine) == {"cpu", "cores", "memory", "kernel", "python", "workers"}
    assert results.systems["fanout"].versions["broker"].startswith("Apache Kafka")
    assert all(about.durability and about.batch for about in results.systems.values())


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of fanout alone that has its first figure, so that something is up; killed if nothing else ended it."""
    process = subprocess.Popen(
        [*COMMAND, "--peers", "", "--repeats", "9", "--results", tmp_path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stderr
        assert any("msg/s" in line for line in process.stderr)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_whoever_ends_it_ends_what_it_started_and_leaves_no_results(
    running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.send_signal(signal.SIGTERM)

    assert running.wait(60) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    stacks = json.loads(subprocess.check_output([ROOT / "bin/stack", "status", "--json"], text=True))
    assert [one["name"] for one in stacks if one["name"].startswith(f"bench-{running.pid}-")] == []
