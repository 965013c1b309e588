"""Clients of the benchmark whose CPU clocks their parent reads when they say that they begin and that they are done."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.peers.processes import run_of
from benchmarks.peers.watched import watched

#: Keeps a core busy for as many seconds of its own CPU.
SPIN = """
import json, sys, time
def spin(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
"""
LAST = ["print('last')", "sys.stdin.read()"]
SAID = "print(json.dumps({'messages': 3, 'duplicates': 1, 'seconds': 2.5, 'until_first': 0.5%s}))"


def client(*lines: str) -> list[str]:
    return [sys.executable, "-uc", "\n".join([SPIN, *lines])]


async def test_cpu_is_taken_between_the_first_and_the_last_line(tmp_path: Path) -> None:
    lines = ["spin(1)", "print('first')", "spin(0.3)", *LAST, "spin(1)", SAID % ""]

    run = run_of(await watched(client(*lines), {"broker": [os.getpid()]}, tmp_path / "log"))

    assert (run.messages, run.duplicates, run.seconds, run.until_first) == (3, 1, 2.5, 0.5)
    # The parent may see the first line late, and the last one as late as it likes.
    assert 0 < run.cpu.clients < 0.9
    assert run.cpu.broker is not None
    assert run.cpu.broker < 0.5
    assert run.cpu.server is None


async def test_a_client_with_processes_of_its_own_says_their_cpu(tmp_path: Path) -> None:
    run = run_of(await watched(client("print('first')", *LAST, SAID % ", 'cpu_clients': 7.5"), {}, tmp_path / "log"))

    assert run.cpu.clients == 7.5


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["print('first')", "raise SystemExit('lost a message')"], id="it failed"),
        pytest.param([SAID % "", "raise SystemExit('lost a message')"], id="it failed in the end"),
        pytest.param(["print('lost a message', file=sys.stderr)"], id="it said no figures"),
    ],
)
async def test_a_client_that_fails_has_no_figures(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(RuntimeError, match="lost a message"):
        await watched(client(*lines), {}, tmp_path / "log")
