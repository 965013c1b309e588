"""For the tests of one worker's runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fanout_app import pulls
from fanout_app.core.dispatcher import Limits
from unit.scene import Scene


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setenv("FANOUT_DRAIN", "1ms")
    monkeypatch.setattr(pulls, "_OWNERSHIP_RECHECK", 0.005)
    scene = Scene(Limits(client_limit=3, max_deliver=2, long_delay=0.05))
    await scene.own(0, 1)
    yield scene
    await scene.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settle does not wait for seconds, for what does not come."""
    monkeypatch.setattr("fanout_app.settles.MOVING", 0.05)
