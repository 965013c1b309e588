"""What is said of a long history, on histories written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from histories.handwritten import Script, handed
from histories.test_memory import weighed
from support.histories.progress import Progress
from support.histories.soak_summary import Summary, summary


def history(*, lost: bool = False, growing: float = 0.0) -> Script:
    """Three messages, one of which comes twice, and a pause of the worker."""
    script = Script()
    script.events[0] = msgspec.structs.replace(script.events[0], plan={"seed": 9, "spares_first": True})
    script.samples(0.0, 170.0)
    for offset in range(3):
        script.produced(10.0, offset, took=0.0)
    script.pull(10.5, 11.0, handed(1, 0))
    script.settle(11.1, 11.2, "nack", 1, delay=0.0)
    script.pull(12.0, 12.1, handed(2, 0, 2), handed(3, 1))
    script.ack(12.2, 12.3, 2)
    script.ack(12.2, 12.3, 3)
    script.struck(10.2, 14.0, "SIGSTOP", worker=1)
    if not lost:
        script.pull(14.0, 15.0, handed(4, 2))
        script.ack(15.1, 15.2, 4)
    script.events += weighed(1, 170, growing=growing)
    script.drained(160.0, 170.0, {0: 3})
    script.events.sort(key=lambda event: event.at)
    return script


def made(script: Script) -> Summary:
    return summary(Path("history.jsonl"), script.events, 3)[0]


def test_a_history_in_which_all_holds_passes_and_says_so() -> None:
    result = made(history())
    assert result.failures == []
    assert (result.seed, result.produced, result.delivered, result.settled, result.lost) == (9, 3, 4, 3, 0)
    assert result.strikes == {"SIGSTOP": 1}
    assert result.duplicates == {"nacked": 1}
    # From when the second came to when the third did.
    assert result.longest_stall == 2.9
    text = result.text()
    assert text.splitlines()[-1] == "passed"
    assert "3 produced, 4 deliveries, 3 settled, 0 lost" in text


def test_what_is_lost_and_what_grows_fails() -> None:
    result = made(history(lost=True, growing=0.5))
    assert result.lost == 1
    assert "1 faults by the rule: lost" in result.failures
    assert any(failure.startswith("worker 1 grew by ") for failure in result.failures)
    assert result.text().splitlines()[-1] == "failed"


def test_a_duplicate_that_nothing_led_to_fails() -> None:
    script = history()
    script.produced(100.0, 3, took=0.0)
    script.pull(101.0, 101.1, handed(10, 3))
    again = script.pulling(101.9, "b")
    script.ack(102.0, 102.1, 10)
    script.pulled(102.05, again, handed(11, 3, 2))
    script.events.sort(key=lambda event: event.at)
    assert made(script).failures == ["1 faults by the rule: unexplained duplicate"]


def test_it_can_be_read_by_programs() -> None:
    row = json.loads(made(history()).json())
    assert row["stalls"][0]["trouble"] == "SIGSTOP"
    assert row["memory"][0]["worker"] == 1
    assert row["failures"] == []


def test_progress_counts_what_it_is_told_of() -> None:
    progress = Progress()
    for event in history().events:
        if event.at > 13.0:
            break
        progress.see(event)
    assert "3 produced, 3 handed out, 2 settled, 1 again; strikes 1: SIGSTOP" in progress.line()
