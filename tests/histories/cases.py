"""For each rule of the judge, histories that break it and, one detail away, histories that do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from histories.handwritten import Script, handed


@dataclass(frozen=True, slots=True)
class Case:
    rule: str
    name: str
    write: Callable[[Script, bool], None]

    def script(self, *, wrong: bool) -> Script:
        script = Script()
        self.write(script, wrong)
        return script


CASES: list[Case] = []


def case(rule: str) -> Callable[[Callable[[Script, bool], None]], Callable[[Script, bool], None]]:
    """The function writes a history; with ``wrong`` one that breaks the rule, and this rule alone."""

    def add(write: Callable[[Script, bool], None]) -> Callable[[Script, bool], None]:
        CASES.append(Case(rule, write.__name__, write))
        return write

    return add


def acked_in_the_drain(script: Script, *offsets: int, at: float = 90.0, partition: int = 0, count: int = 1) -> None:
    """How every history ends well: these come, are acked, and the group's offset is the end."""
    end = max(offsets, default=-1) + 1
    for lease, offset in enumerate(offsets, 900):
        script.pull(at, at + 0.1, handed(lease, offset, count, partition=partition), client="drain")
        script.ack(at + 0.2, at + 0.3, lease)
    script.committed(at + 0.9, {partition: end})
    script.drained(at, at + 1.0, {partition: end})


# The end of it -------------------------------------------------------------------------------------------------------


@case("drained")
def the_queue_is_not_empty(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.ack(3.0, 3.1, 1)
    script.committed(4.0, {0: 0 if wrong else 1})
    script.drained(5.0, 20.0, {0: 1}, complete=not wrong)


@case("drained")
def the_history_breaks_off(script: Script, wrong: bool) -> None:
    if not wrong:
        script.drained(5.0, 6.0, {})


@case("lost")
def one_never_came(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.produced(1.0, 1)
    acked_in_the_drain(script, *([0] if wrong else [0, 1]))


@case("lost")
def one_came_and_was_not_acked(script: Script, wrong: bool) -> None:
    """Of a nack nobody may conclude that the message is done; of an ack without an answer one may."""
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.settle(3.0, 3.1, "nack" if wrong else "ack", 1, "ok" if wrong else None)
    acked_in_the_drain(script)


@case("lost")
def one_was_acked_too_late_to_count(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=0.5)
    script.ack(3.0, 3.1, 1, "lease_lost" if wrong else "late")
    acked_in_the_drain(script)


@case("settled by nobody")
def said_to_be_settled(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    if not wrong:
        script.ack(2.5, 2.6, 1, None)
    script.ack(3.0, 3.1, 1, "already_settled")
    acked_in_the_drain(script)


# Acks ----------------------------------------------------------------------------------------------------------------


@case("acked and again")
def a_pull_sent_after_the_answer(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    again = script.pulling(3.05, "b") if not wrong else 0
    script.ack(3.0, 3.1, 1)
    again = again or script.pulling(3.15, "b")
    script.pulled(3.2, again, handed(2, 0))
    acked_in_the_drain(script)


@case("acked and again")
def an_ack_that_was_to_be_durable(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.ack(3.0, 3.1, 1, durable=wrong)
    script.struck(4.0, 5.0, "kill -9")
    script.pull(6.0, 6.1, handed(2, 0))
    acked_in_the_drain(script)


@case("acked and again")
def a_late_ack_that_was_answered(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=0.5)
    script.ack(3.0, 3.1, 1, "late" if wrong else "retry")
    script.pull(6.0, 6.1, handed(2, 0, 2))
    script.ack(6.3, 6.4, 2)
    acked_in_the_drain(script)


@case("acked and again")
def a_reject_that_was_answered(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.settle(3.0, 3.1, "reject" if wrong else "nack", 1)
    script.pull(6.0, 6.1, handed(2, 0, 2))
    script.ack(6.3, 6.4, 2)
    acked_in_the_drain(script)


# Leases --------------------------------------------------------------------------------------------------------------


def _two(script: Script, *, second_at: float, first_wait: float = 2.0, count: int = 2) -> None:
    """A has it from 2.1, and B gets it later; both let it go, and the drain takes it."""
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=first_wait)
    script.pull(second_at - 0.1, second_at, handed(2, 0, count), client="b", ack_wait=2.0)
    acked_in_the_drain(script, 0, count=count + 1)


@case("two leases")
def before_the_first_has_ended(script: Script, wrong: bool) -> None:
    _two(script, second_at=3.9 if wrong else 4.05)


@case("two leases")
def at_the_same_time(script: Script, wrong: bool) -> None:
    """Both were under way at once: only the ends of their leases show that they overlap."""
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    first, second = script.pulling(2.0, "a", ack_wait=2.0 if wrong else 0.2), script.pulling(2.0, "b", ack_wait=2.0)
    script.pulled(2.1, first, handed(1, 0))
    script.pulled(2.3, second, handed(2, 0, 2))
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def after_an_extension(script: Script, wrong: bool) -> None:
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=1.0)
    script.settle(2.5, 2.6, "extend", 1, ack_wait=2.0)
    at = 4.4 if wrong else 4.6
    script.pull(at - 0.1, at, handed(2, 0, 2), client="b", ack_wait=2.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def an_extension_that_makes_it_shorter(script: Script, wrong: bool) -> None:
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    if not wrong:
        script.settle(2.2, 2.3, "extend", 1, ack_wait=0.5)
    script.pull(3.0, 3.1, handed(2, 0, 2), client="b", ack_wait=2.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def after_a_nack(script: Script, wrong: bool) -> None:
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    script.settle(2.2, 2.3, "nack", 1, "lease_lost" if wrong else "ok")
    script.pull(2.4, 2.5, handed(2, 0, 2), client="b", ack_wait=2.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def although_an_ack_is_under_way(script: Script, wrong: bool) -> None:
    """It may have been settled and come again with the ledger of before: at least once."""
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    if not wrong:
        script.ack(2.3, 2.35, 1, None)
    script.pull(2.4, 2.5, handed(2, 0, 2), client="b", ack_wait=2.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def over_a_kill_9(script: Script, wrong: bool) -> None:
    script.samples(0.0, 2.4)
    if wrong:
        script.samples(2.6, 80.0)
    else:
        script.struck(2.5, 3.0, "kill -9")
        script.samples(3.1, 80.0, worker=2)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    script.pull(3.2, 3.3, handed(2, 0, 2), client="b", ack_wait=1.0, worker=1 if wrong else 2)
    acked_in_the_drain(script, 0, count=3)


# Counts --------------------------------------------------------------------------------------------------------------


@case("delivery count")
def the_first_is_1(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    acked_in_the_drain(script, 0, count=2 if wrong else 1)


@case("delivery count")
def one_that_nobody_saw_may_count(script: Script, wrong: bool) -> None:
    cut = script.pulling(0.1 if wrong else 1.1)
    script.pulled(0.9 if wrong else 1.5, cut, outcome="unknown")
    script.produced(1.0, 0)
    acked_in_the_drain(script, 0, count=2)


@case("delivery count")
def an_answer_that_was_not_written_does_not_count(script: Script, wrong: bool) -> None:
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=1.0)
    script.pull(4.0, 4.1, handed(2, 0, 1 if wrong else 2), client="b", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("delivery count")
def written_down_long_before_the_kill(script: Script, wrong: bool) -> None:
    script.samples(0.0, 6.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=0.3)
    script.pull(2.5, 2.6, handed(2, 0, 2), client="b", ack_wait=30.0)
    at = 6.0 if wrong else 4.0
    script.struck(at, at + 1.0, "kill -9")
    acked_in_the_drain(script, 0, count=1)


# The group's offset --------------------------------------------------------------------------------------------------


@case("committed")
def above_one_that_nobody_acked(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.produced(1.0, 1)
    script.pull(2.0, 2.1, handed(1, 0), handed(2, 1))
    script.ack(3.0, 3.1, 2 if wrong else 1)
    script.committed(4.0, {0: 2 if wrong else 1})
    script.ack(5.0, 5.1, 1 if wrong else 2)
    acked_in_the_drain(script)


@case("committed")
def before_the_ack_was_sent(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.committed(2.99 if wrong else 3.05, {0: 1})
    script.ack(3.0, 3.1, 1)
    acked_in_the_drain(script)


@case("committed")
def over_a_record_of_an_aborted_transaction(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, outcome="ok" if wrong else "aborted")
    script.committed(2.0, {0: 1})
    if wrong:
        script.pull(3.0, 3.1, handed(1, 0))
        script.ack(3.2, 3.3, 1)
    acked_in_the_drain(script)


# What is handed out --------------------------------------------------------------------------------------------------


@case("never produced")
def another_body(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, body="one")
    script.pull(2.0, 2.1, handed(1, 0, body="another" if wrong else "one"))
    script.ack(3.0, 3.1, 1)
    acked_in_the_drain(script)


@case("never produced")
def the_body_of_another_message(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, body="one")
    script.produced(1.0, 1, body="other")
    script.pull(2.0, 2.1, handed(1, 0, body="other" if wrong else "one"), handed(2, 1, body="other"))
    script.ack(3.0, 3.1, 1)
    script.ack(3.2, 3.3, 2)
    acked_in_the_drain(script)


@case("never produced")
def of_an_aborted_transaction(script: Script, wrong: bool) -> None:
    """Of one whose outcome nobody knows it may come."""
    script.produced(1.0, 0, outcome="aborted" if wrong else "unknown")
    script.pull(2.0, 2.1, handed(1, 0))
    script.ack(3.0, 3.1, 1)
    acked_in_the_drain(script)


@case("never produced")
def in_another_partition(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, outcome="unknown", partition=0 if wrong else 1)
    script.pull(2.0, 2.1, handed(1, 0, partition=1))
    script.ack(3.0, 3.1, 1)
    acked_in_the_drain(script)


# Answers -------------------------------------------------------------------------------------------------------------


@case("bad status")
def a_pull_is_answered_500(script: Script, wrong: bool) -> None:
    script.pull(2.0, 2.1, status=500 if wrong else 503)
    acked_in_the_drain(script)


@case("bad status")
def a_settle_is_answered_400(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.settle(3.0, 3.1, "ack", 1, "retry", code=400 if wrong else 503)
    acked_in_the_drain(script, 0)


@case("genuine lease refused")
def as_unknown(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.settle(3.0, 3.1, "extend", 1, "lease_unknown" if wrong else "lease_lost")
    acked_in_the_drain(script, 0)


@case("hung")
def a_pull_outlasts_its_wait(script: Script, wrong: bool) -> None:
    script.pull(2.0, 12.0, wait=2.0 if wrong else 5.0)
    acked_in_the_drain(script)


@case("hung")
def a_settle_takes_too_long(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    script.ack(3.0, 11.0 if wrong else 8.0, 1)
    acked_in_the_drain(script)


@case("hung")
def a_stopped_process_answers_later(script: Script, wrong: bool) -> None:
    script.struck(3.0, 7.0, "broker paused" if wrong else "SIGSTOP")
    script.pull(2.0, 12.0, wait=2.0)
    acked_in_the_drain(script)


@case("hung")
def a_connection_that_never_ends(script: Script, wrong: bool) -> None:
    op = script.pulling(2.0, wait=2.0)
    if not wrong:
        script.pulled(3.0, op, outcome="unknown")
    acked_in_the_drain(script)


# What waits ----------------------------------------------------------------------------------------------------------


def _waiting_in_vain(script: Script, *, since: float = 10.0, until: float = 20.0, empty: str = "no-message") -> None:
    script.samples(0.0, 80.0)
    script.pull(since, until, client="b", wait=10.0, empty=empty)
    acked_in_the_drain(script, 0)


@case("not handed out")
def free_and_somebody_waits(script: Script, wrong: bool) -> None:
    script.produced(1.0 if wrong else 18.0, 0)
    _waiting_in_vain(script)


@case("not handed out")
def for_no_reason_that_is_given(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    _waiting_in_vain(script, empty="no-message" if wrong else "client-limit")


@case("not handed out")
def a_lease_that_has_long_ended(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0 if wrong else 30.0)
    script.samples(0.0, 80.0)
    script.pull(10.0, 20.0, client="b")
    acked_in_the_drain(script, 0, count=2)


@case("not handed out")
def a_nack_whose_delay_is_over(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=30.0)
    script.settle(3.0, 3.1, "nack", 1, delay=1.0 if wrong else 30.0)
    script.samples(0.0, 80.0)
    script.pull(10.0, 20.0, client="b")
    acked_in_the_drain(script, 0, count=2)


@case("not handed out")
def an_answer_that_no_kernel_took(script: Script, wrong: bool) -> None:
    """Whoever just hung up may have been handed it, and may hold it until its lease ends."""
    script.produced(1.0, 0)
    script.pull(2.0, 3.0, ack_wait=60.0, outcome="unwritten" if wrong else "unknown")
    _waiting_in_vain(script)


@case("not handed out")
def a_client_that_left_before_it_was_produced(script: Script, wrong: bool) -> None:
    script.pull(2.0, 3.0, ack_wait=60.0, outcome="unknown")
    script.produced(5.0 if wrong else 2.5, 0)
    _waiting_in_vain(script)


@case("not handed out")
def a_worker_that_is_moving(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.samples(0.0, 80.0, degraded=() if wrong else ["rebalancing"])
    script.pull(10.0, 20.0, client="b")
    acked_in_the_drain(script, 0)
