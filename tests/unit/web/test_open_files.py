"""The limit of open files is raised as far as it goes, and decides where it does not go far enough."""

from __future__ import annotations

import resource
from resource import RLIM_INFINITY

import pytest

from fanout_app.web.open_files import room_for


class Limits:
    """A process's limits."""

    def __init__(self, soft: int, hard: int, *, fixed: bool = False) -> None:
        self.soft = soft
        self.hard = hard
        self._fixed = fixed

    def get(self, _which: int) -> tuple[int, int]:
        return self.soft, self.hard

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        if self._fixed:
            raise ValueError("not allowed")
        self.soft, self.hard = limits


@pytest.mark.parametrize(
    ("limits", "soft", "fits"),
    [
        (Limits(1024, 524_288), 20_200, 10_000),
        (Limits(1024, RLIM_INFINITY), 20_200, 10_000),
        (Limits(65_536, 65_536), 65_536, 10_000),
        (Limits(RLIM_INFINITY, RLIM_INFINITY), RLIM_INFINITY, 10_000),
        (Limits(1024, 12_000), 12_000, 10_000),
        (Limits(1024, 4096), 4096, 3896),
        (Limits(1024, 4096, fixed=True), 1024, 824),
        (Limits(100, 100), 100, 1),
    ],
)
def test_as_many_pulls_may_wait_as_the_process_can_hold_connections(
    limits: Limits, soft: int, fits: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hard = limits.hard
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    assert room_for(10_000).pulls == fits
    assert (limits.soft, limits.hard) == (soft, hard)
    assert (f"{fits} pulls may wait, not 10000: this process may open {soft} files" in caplog.text) == (fits < 10_000)


@pytest.mark.parametrize(
    ("limits", "asked", "soft", "connections"),
    [
        (Limits(1024, 524_288), None, 20_200, 20_000),
        (Limits(1024, 524_288), 50_000, 50_200, 50_000),
        (Limits(1024, 524_288), 500, 10_200, 500),
        (Limits(1024, 4096), None, 4096, 3946),
        (Limits(100, 100), None, 100, 1),
    ],
)
def test_twice_as_many_connections_may_be_open_or_as_many_as_are_asked_for_or_fit(
    limits: Limits, asked: int | None, soft: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    assert room_for(10_000, asked).connections == connections
    assert limits.soft == soft


def test_those_who_look_on_take_no_room_from_pulls(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(1024, 4096)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    assert room_for(10_000, streams=1000) == (4096 - 180 - 1000, 4096 - 130 - 1000)
