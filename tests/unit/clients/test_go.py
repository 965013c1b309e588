"""What is written in Go is formatted and vetted, and passes its own tests; with real workers it is tested elsewhere."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
_ENVIRONMENT = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}


def go(folder: str, *words: str) -> str:
    done = subprocess.run(words, cwd=ROOT / folder, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("folder", ["clients/go", "clients/go/fanoutpb", "examples/words"])
def test_it_is_formatted_and_vetted(folder: str) -> None:
    assert go(folder, "gofmt", "-l", ".") == ""
    go(folder, "go", "vet", "./...")


def test_the_client_passes_its_own_tests() -> None:
    assert "ok" in go("clients/go", "go", "test", "-count=1", "./...")
