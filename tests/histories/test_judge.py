"""The judge, judged: each rule sees what breaks it, lets pass what does not, and nothing else would have seen it."""

from __future__ import annotations

from pathlib import Path

import pytest

from histories import (
    answer_cases,
    broadcast_cases,
    lease_cases,
    message_cases,
    operator_cases,
    order_cases,
    share_cases,
)
from histories.casebook import CASES, Case
from histories.cluster_cases import two_workers
from histories.handwritten import Script, handed
from support.histories.duplicates import duplicates
from support.histories.events import Trouble, encode, read
from support.histories.judge import RULES, judge
from support.histories.verdict import judged
from support.histories.view import History

#: Who is imported has put its cases into the book.
KEPT = (message_cases, lease_cases, answer_cases, operator_cases, order_cases, share_cases, broadcast_cases)

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.name}")


@each_case
def test_a_wrong_history_is_a_fault_by_its_rule_and_no_other(case: Case) -> None:
    faults = judge(case.script(wrong=True).events)
    assert {fault.rule for fault in faults} == {case.rule}, faults


@each_case
def test_the_nearest_right_history_has_no_fault(case: Case) -> None:
    assert judge(case.script(wrong=False).events) == []


@each_case
def test_without_its_rule_nobody_would_see_it(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, case.rule)
    assert judge(case.script(wrong=True).events) == []


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == set(RULES)


def test_a_fault_names_the_lines_that_prove_it() -> None:
    script = Script()
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    came = script.line
    script.ack(3.0, 3.1, 1)
    acked = script.line
    script.pull(4.0, 4.1, handed(2, 0))
    again = script.line
    script.drained(5.0, 6.0, {0: 1})

    (fault,) = judge(script.events)

    assert fault.lines == (came, acked - 1, acked, again - 1, again)


def test_a_history_is_judged_again_from_its_file(tmp_path: Path) -> None:
    script = CASES[-1].script(wrong=True)
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"".join(map(encode, script.events)))

    verdict = judged(file)

    assert read(file) == script.events
    assert verdict.faults == judge(script.events)
    assert f"FAULT ({CASES[-1].rule})" in verdict.text()


def test_duplicates_are_counted_by_what_became_of_the_delivery_before() -> None:
    script = Script()
    script.samples(0.0, 2.4)
    script.samples(2.8, 50.0, generation=2)
    for offset in range(5):
        script.produced(1.0, offset)
    for offset in range(4):
        script.pull(2.0, 2.1, handed(offset + 1, offset), ack_wait=5.0)
    script.settle(2.2, 2.3, "nack", 1, delay=0.0)
    script.ack(2.2, None, 2, None)
    script.ack(2.2, 2.3, 3, durable=False)
    # Nothing that was acked comes again while its owner lives.
    script.struck(2.5, 2.8, "kill -9")
    script.pull(3.0, 3.1, *(handed(10 + offset, offset, 2) for offset in range(3)))
    script.pull(8.0, 8.1, handed(13, 3, 2))
    script.pull(8.2, 8.3, handed(14, 4, 2))

    assert duplicates(History(script.events)) == {
        "nacked": 1,
        "unknown ack outcome": 1,
        "acked without durable": 1,
        "lease expired": 1,
        "connection cut": 1,
    }


def test_an_answer_that_was_held_up_is_the_earlier_one_by_its_count() -> None:
    script = Script()
    script.samples(0.0, 30.0)
    script.produced(1.0, 0)
    held_up = script.pulling(2.0, "a", ack_wait=3.0)
    script.pull(5.5, 6.0, handed(2, 0, 2), client="b")
    script.pulled(9.0, held_up, handed(1, 0, 1))

    assert duplicates(History(script.events)) == {"lease expired": 1}


def test_duplicates_of_a_cluster_are_counted_by_what_was_done_to_it() -> None:
    script = Script()
    two_workers(script, move_at=20.0)
    for offset in range(6):
        script.produced(1.0, offset)
    lent = [handed(offset, offset) for offset in range(2)]
    for handout in lent:
        script.pull(2.0, 2.1, handout, worker=2)
    script.pull(3.0, 3.1, handed(10, 0), client="b")
    struck: list[tuple[float, Trouble]] = [(10.0, "worker added"), (30.0, "SIGTERM"), (40.0, "SIGSTOP")]
    for offset, (at, trouble) in enumerate(struck, 2):
        script.pull(at - 0.2, at - 0.1, handed(20 + offset, offset))
        script.struck(at, at + 1.0, trouble, worker=1)
        script.gone(at + 1.0, 3)  # after that nothing is certain of who has what
        again = at + (15.0 if trouble == "worker added" else 5.0)
        script.pull(again, again + 0.1, handed(30 + offset, offset), client="b")

    assert duplicates(History(script.events)) == {
        "loan not confirmed": 1, "partition moved": 1, "worker stopped": 1, "worker paused": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("trouble", "cause"), [("kill -9", "forwarding worker ended"), ("SIGTERM", "loan not confirmed")]
)
def test_a_duplicate_of_a_loan_is_laid_to_the_worker_that_forwarded_it(trouble: Trouble, cause: str) -> None:
    script = Script()
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=2)
    script.struck(2.2, 3.0, trouble, worker=2)
    script.pull(3.0, 3.1, handed(2, 0), client="b")

    assert duplicates(History(script.events)) == {cause: 1}
