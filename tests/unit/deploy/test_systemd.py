"""`deploy/systemd` agrees with the worker's options, limits and exit codes; `bin/compose check` asks systemd itself."""

from __future__ import annotations

import shlex
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from fanout_app.exits import EXIT_FAULT, EXIT_START
from fanout_app.options import Options
from unit.deploy.deployed import ROOT, bytes_of, least_grace, most_memory, options_of, port_of

FOLDER = ROOT / "deploy" / "systemd"
#: Files beside the connections of clients.
OF_ITS_OWN = 200


def unit() -> dict[str, list[str]]:
    """All settings; some may be given several times."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in (FOLDER / "fanout.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Options:
    lines = (FOLDER / "fanout.env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if line and not line.startswith("#"))
    return options_of(dict(pairs), monkeypatch)


def test_it_starts_our_command_as_a_user_of_its_own_with_the_file_of_options(options: Options) -> None:
    (command,) = unit()["ExecStart"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert Path(shlex.split(command)[0]).name in project["project"]["scripts"]
    assert unit()["EnvironmentFile"] == ["/etc/fanout/fanout.env"]
    assert unit()["User"] == unit()["Group"] == ["fanout"]
    for path in (options.tokens_file, options.lease_key_file):
        assert Path(str(path)).parent == Path("/etc/fanout")
    assert port_of(options.bind) == 6066


def test_it_is_started_again_for_ever_where_that_helps_and_not_where_it_does_not() -> None:
    assert unit()["Restart"] == ["on-failure"]
    (prevented,) = unit()["RestartPreventExitStatus"]
    assert prevented.split() == [str(EXIT_START)]
    assert str(EXIT_FAULT) not in prevented.split()
    # By default five starts within ten seconds are the last ones.
    assert unit()["StartLimitIntervalSec"] == ["0"]


def test_a_stop_is_given_its_time_and_the_worker_what_it_may_hold(options: Options) -> None:
    (patience,) = unit()["TimeoutStopSec"]
    assert float(patience.removesuffix("s")) >= least_grace(options)
    assert bytes_of(unit()["MemoryMax"][0]) >= most_memory(options)
    assert int(unit()["LimitNOFILE"][0]) >= 2 * options.max_waiting + OF_ITS_OWN


def test_it_asks_for_tokens(options: Options) -> None:
    assert not options.insecure
    assert options.tokens_file is not None
