"""What users install, each in an empty environment of its own: the wheel, the client's wheel, a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.pages import copy_checkout
from support.stack import ROOT
from support.workers import Worker, Workers

#: Nothing of this checkout is to be imported, whatever the tests themselves were started with.
_OUTSIDE = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, "PYTHONSAFEPATH": "1"}

#: Takes messages until the last one, and acks each.
_CLIENT = """
import asyncio, sys
from fanout_client import Client

async def main():
    async with Client(sys.argv[1]) as client:
        text = ""
        while text != sys.argv[2]:
            for message in await client.pull():
                text = message.text()
                await client.ack(message)
                print(text)

asyncio.run(main())
"""


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(command, cwd=cwd, env={**_OUTSIDE, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}"
    return done.stdout


def environment(folder: Path, *installs: str | Path, **variables: str) -> Path:
    """The commands of a fresh environment with these packages, and what they ask for."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, *installs, "-c", ROOT / "constraints.txt", cwd=folder.parent, **variables)
    return folder / "bin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment in which there is fanout, and nothing that it does not ask for."""
    run(ROOT / "bin" / "wheel", cwd=ROOT)
    (wheel,) = (ROOT / ".local" / "wheel").glob("*.whl")
    return environment(tmp_path_factory.mktemp("worker") / "venv", wheel)


@pytest.fixture(scope="module")
def client_installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with the client for Python."""
    folder = tmp_path_factory.mktemp("client")
    # From a copy: a build leaves files beside its sources.
    shutil.copytree(ROOT / "clients" / "python", folder / "source")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps")
    run(*pip, "--wheel-dir", folder, folder / "source", cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return environment(folder / "venv", wheel)


@pytest.fixture
async def worker(installed: Path, workers_without_kafka: Workers) -> Worker:
    outside = {"PYTHONPATH": "", "PYTHONSAFEPATH": "1"}
    return await workers_without_kafka.launch("memory", memory=True, bin=installed, environment=outside).ready()


def produce(worker: Worker, *values: str, cwd: Path) -> None:
    messages = ",".join(f'{{"value":"{value}"}}' for value in values)
    run("curl", "-sf", f"{worker.url}/v1/produce", "-d", f'{{"messages":[{messages}]}}', cwd=cwd)


def test_the_command_is_compiled_and_knows_its_words(installed: Path, tmp_path: Path) -> None:
    fanout = installed / "fanout"
    assert run(fanout, "--version", cwd=tmp_path).rstrip().endswith(", compiled")
    assert "--brokers" in run(fanout, "doctor", "--help", cwd=tmp_path)
    token = run(fanout, "token", "new", "orders", "--tokens-file", "tokens", cwd=tmp_path).strip()
    assert len(token) >= 32
    assert "consume name=orders" in (tmp_path / "tokens").read_text()
    assert token not in (tmp_path / "tokens").read_text()


def test_a_checkout_is_installed_as_it_is_with_both_clients(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    copy_checkout(checkout)
    client = f"{checkout / 'clients' / 'python'}[sync]"
    commands = environment(tmp_path / "venv", checkout, client, FANOUT_COMPILE="0")
    assert run(commands / "fanout", "--version", cwd=tmp_path).rstrip().endswith(", interpreted")
    run(commands / "python", "-c", "import fanout_client.sync", cwd=tmp_path)


async def test_a_worker_hands_a_message_to_curl(worker: Worker, tmp_path: Path) -> None:
    produce(worker, "hello", cwd=tmp_path)
    assert run("curl", "-sf", "-X", "POST", f"{worker.url}/v1/next", cwd=tmp_path) == "hello"


async def test_the_client_takes_messages_and_acks_them(worker: Worker, client_installed: Path, tmp_path: Path) -> None:
    produce(worker, "one", "two", cwd=tmp_path)
    said = run(client_installed / "python", "-c", _CLIENT, worker.url, "two", cwd=tmp_path)
    assert said == "one\ntwo\n"
    assert (await worker.partitions())[0]["floor"] == 2
