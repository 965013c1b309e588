"""What /openapi.json says, held against a worker by a tool that knows nothing else of it."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from support.stack import ROOT
from support.workers import Worker, Workers

#: In an environment of its own: its packages are many, and nothing else needs them.
TOOL = "schemathesis==4.32.5"
EXAMPLES = 100
#: That what a schema allows is accepted is the one check that is left out: a schema cannot say that one field excludes
#: another, and calls 1.0 an integer.
OF_ALL = ("--exclude-checks", "positive_data_acceptance", "--no-color", "--request-timeout", "60")
#: These wait as long as they are told to.
SLOW = r"/v1/(pull|next|events)$"
#: This one never ends.
ENDLESS = r"/v1/events$"


def installed() -> Path:
    """The tool's program."""
    folder = ROOT / ".local" / TOOL.replace("==", "-")
    program = folder / "bin" / "schemathesis"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", TOOL]
        subprocess.run(pip, check=True)
    return program


@pytest.mark.parametrize(
    "chosen",
    [("--phases", "coverage", "--exclude-path-regex", ENDLESS), ("--exclude-path-regex", SLOW)],
    ids=["every field of every address", "requests at random, and one after the other"],
)
async def test_every_answer_is_as_described(chosen: tuple[str, ...], workers_without_kafka: Workers) -> None:
    worker: Worker = await workers_without_kafka.start("memory", memory=True)
    program = await asyncio.to_thread(installed)
    seed = str(secrets.randbelow(1 << 32))
    command = [str(program), "run", f"{worker.url}/openapi.json", "--max-examples", str(EXAMPLES), "--seed", seed]
    process = await asyncio.create_subprocess_exec(
        *command, *OF_ALL, *chosen, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT / ".local"
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    assert "passed" in said.decode()
