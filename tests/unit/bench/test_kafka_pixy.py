"""What is said of a kafka-pixy that ended by itself."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.kafka_pixy import _panic


def test_a_panic_is_named_and_not_its_stack(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("started\npanic: send on closed channel\n\ngoroutine 73 [running]:\n\tmultiplexer.go:243\n")

    assert _panic(log) == "panic: send on closed channel"


def test_without_a_panic_it_is_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("started\nkilled\n")

    assert _panic(log) == "started\nkilled"
