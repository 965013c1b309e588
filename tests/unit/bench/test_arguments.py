"""What bin/bench is told: workloads, peers, rounds, and where the results go."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.bench import REPEATS, RESULTS, arguments, results_folder
from benchmarks.peers.every import SYSTEMS, UnknownPeer, selected
from benchmarks.run.rounds import Asked
from benchmarks.workloads.all import workloads


def test_everything_five_times_into_the_repository_by_default() -> None:
    given = arguments([])

    assert given.workload == list(workloads())
    assert list(given.systems) == list(SYSTEMS)
    assert given.repeats == REPEATS
    assert results_folder(given) == RESULTS


def test_a_quick_run_has_one_round_unless_told_otherwise() -> None:
    assert arguments(["--quick"]).repeats == 1
    assert arguments(["--quick", "--repeats", "3"]).repeats == 3


@pytest.mark.parametrize("part", [["--quick"], ["--only", "100 B"], ["--peers", "nats"], ["--peers", ""]])
def test_results_of_a_part_never_take_the_place_of_those_of_all(part: list[str]) -> None:
    folder = results_folder(arguments(part))

    try:
        assert folder != RESULTS
        assert list(folder.iterdir()) == []
    finally:
        shutil.rmtree(folder)


def test_whoever_names_a_place_gets_it(tmp_path: Path) -> None:
    assert results_folder(arguments(["--quick", "--results", str(tmp_path)])) == tmp_path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dream"], "no workload 'dream': drain"),
        (["--peers", "nats,kafka-p"], "no peer 'kafka-p': fanout, "),
        (["--repeats", "0"], "1 at least"),
    ],
)
def test_what_there_is_not_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        arguments(words)

    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_peers_are_selected_by_name_or_by_first_words() -> None:
    ours = [name for name in SYSTEMS if name.startswith("fanout")]

    assert list(selected([])) == ours
    assert list(selected(["nats"])) == [*ours, "nats", "nats-sync", "nats-confirmed"]
    assert list(selected(["nats-sync", "kafka-pixy"])) == [*ours, "nats-sync", "kafka-pixy"]
    assert len([name for name in selected(["share-groups-python"]) if name not in ours]) == 2
    with pytest.raises(UnknownPeer):
        selected(["nat"])


def test_each_system_is_called_what_it_calls_itself() -> None:
    assert all(make().name == name for name, make in SYSTEMS.items())
    assert len({make().name for make in SYSTEMS.values()}) == len(SYSTEMS)


@pytest.mark.parametrize("name", workloads())
def test_every_workload_has_a_title_and_asks_one_thing_of_each_ratio(name: str) -> None:
    workload = Asked(workloads()[name], {}, 1, quick=True).workload

    assert workload.name == name
    assert workload.title
    for ratio in workload.ratios:
        assert (ratio.at_least is None) != (ratio.at_most is None), ratio.text
