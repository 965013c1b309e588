"""The example services do what they are for, with 100 messages that two of each share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from support.eventually import eventually
from support.kafka import Kafka
from support.workers import Worker, Workers

ROOT = Path(__file__).resolve().parents[2]
COUNT = 100

pytestmark = pytest.mark.long

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def launch(*command: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python"), "GOTOOLCHAIN": "local"},
        )  # fmt: skip
        started.append(process)
        return process

    yield launch
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


async def served(kafka: Kafka, workers: Workers, *values: str) -> Worker:
    worker = await workers.start(await kafka.new_topic(2))
    for number in range(2):
        await kafka.produce(worker.topic, *values[number::2], partition=number)
    return worker


async def done(kafka: Kafka, worker: Worker) -> bool:
    return await kafka.has_committed(worker.id, worker.topic, {0: COUNT // 2, 1: COUNT // 2})


def end(*processes: subprocess.Popen[str]) -> list[str]:
    """Ask them to end; what they have said."""
    for process in processes:
        process.terminate()
    said = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said


def build(program: Path) -> None:
    subprocess.run(
        ["go", "build", "-o", str(program), "."], cwd=ROOT / "examples" / "words", check=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
    )  # fmt: skip


async def test_a_picture_is_drawn_for_each_user(kafka: Kafka, workers: Workers, start: Start, tmp_path: Path) -> None:
    names = [f"user {number}" for number in range(COUNT)]
    worker = await served(kafka, workers, *names)
    out = tmp_path / "pictures"
    draw = (sys.executable, "examples/identicons/draw.py", "--workers", worker.url, "--out", str(out))
    drawers = [start(*draw), start(*draw)]
    await eventually(lambda: done(kafka, worker), 40.0)
    said = end(*drawers)
    assert {path.name for path in out.iterdir()} == {f"{sha256(name.encode()).hexdigest()[:16]}.png" for name in names}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.iterdir())
    assert all("user" in text for text in said), "both have drawn"


async def test_words_are_counted_once_each(kafka: Kafka, workers: Workers, start: Start, tmp_path: Path) -> None:
    worker = await served(kafka, workers, *(f"to be or not {number}" for number in range(COUNT)))
    program = tmp_path / "words"
    build(program)
    outs = [tmp_path / f"{number}.json" for number in range(2)]
    counters = [start(str(program), "-workers", worker.url, "-out", str(out)) for out in outs]
    await eventually(lambda: done(kafka, worker), 40.0)
    end(*counters)
    counted = [json.loads(out.read_text()) for out in outs]
    total = {word: sum(one.get(word, 0) for one in counted) for word in (*counted[0], *counted[1])}
    assert total == {"to": COUNT, "be": COUNT, "or": COUNT, "not": COUNT} | {str(n): 1 for n in range(COUNT)}


async def test_messages_become_files(kafka: Kafka, workers: Workers, start: Start, tmp_path: Path) -> None:
    worker = await served(kafka, workers, *(f"message {number}" for number in range(COUNT)))
    folder = tmp_path / "spool"
    spools = [start("examples/spool/spool.sh", worker.url, str(folder)) for _ in range(2)]
    await eventually(lambda: done(kafka, worker), 60.0)
    end(*spools)
    written = {path.name: path.read_text() for path in folder.iterdir()}
    assert written == {f"{number % 2}-{number // 2}": f"message {number}" for number in range(COUNT)}
