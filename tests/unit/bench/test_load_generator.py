"""The load generator has to be built, which takes Go."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import processes
from benchmarks.peers.system import CannotRun


async def test_without_go_it_is_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(CannotRun, match=r"no go found.*https://go.dev/dl"):
        await processes.load_generator()
