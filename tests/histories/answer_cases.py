"""What comes when: a history that breaks a rule, and the nearest one that does not."""

from __future__ import annotations

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed

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
    acked_in_the_drain(script, 0, count=2)


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
