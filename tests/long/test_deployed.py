"""Workers as they are deployed: the image, step by step, and what starts a worker from it, beside a real Kafka and
ZooKeeper at the names and ports that containers have. There is no engine here, and none is needed for this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from support.deployed import WAYS
from support.image import build
from support.stack import ROOT

#: Seconds: servers and a worker start, on a machine that is busy with other things.
WITHIN = 300.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it is described."""
    folder = tmp_path_factory.mktemp("image")
    described = folder / "image.json"
    described.write_text(json.dumps(asdict(build(ROOT, ROOT / "compose" / "Dockerfile", folder))))
    return described


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_hands_out_a_message_is_healthy_and_ends_with_0(image: Path, way: str) -> None:
    done = subprocess.run(
        [ROOT / "bin" / "isolated", sys.executable, "-m", "support.deployed", way, image],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}, timeout=WITHIN,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_compose_file_manifests_and_unit_are_as_those_want_them_who_read_them() -> None:
    done = subprocess.run(
        [ROOT / "bin" / "compose", "check"], capture_output=True, text=True, timeout=WITHIN, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
