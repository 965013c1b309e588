"""What may become of messages: a history that breaks a rule, and the nearest one that does not."""

from __future__ import annotations

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed

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
