"""What a worker does not do when it is sent a signal."""

from __future__ import annotations

import pytest

from fanout_app.worker import FanoutWorker


def test_no_signal_stops_the_loop_in_a_debugger(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop() -> None:
        raise AssertionError("it waits for a person")

    monkeypatch.setattr("pdb.set_trace", stop)

    FanoutWorker.__new__(FanoutWorker)._on_sigusr2()

    assert "SIGUSR2 means nothing here" in caplog.text
