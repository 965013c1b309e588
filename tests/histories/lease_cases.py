"""Who has a message, and how often it was given: a history that breaks a rule, and the nearest one that does not."""

from __future__ import annotations

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed

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


@case("delivery count")
def failed_long_before_the_kill(script: Script, wrong: bool) -> None:
    """It counts from when its lease has ended for sure: until then its row need not know."""
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=4.0 if wrong else 8.0)
    script.struck(10.0, 11.0, "kill -9")
    acked_in_the_drain(script, 0, count=1)


@case("delivery count")
def stopped_in_good_order(script: Script, wrong: bool) -> None:
    """Whoever is told to end writes down what it knows; whoever is killed does not."""
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=0.3)
    script.pull(2.9, 3.0, handed(2, 0, 2), client="b", ack_wait=60.0)
    script.struck(4.0, 5.0, "SIGTERM" if wrong else "kill -9")
    script.pull(20.0, 20.1, handed(3, 0, 1), client="c", ack_wait=0.3)
    acked_in_the_drain(script, 0, count=2)


# Who is next ---------------------------------------------------------------------------------------------------------


def _comes_again(script: Script, *, waits: float = 10.0, acked: float = 1.4) -> None:
    """To A, while B waits, who has acked what it had."""
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.produced(1.0, 1)
    script.pull(1.1, 1.2, handed(9, 1), client="b", ack_wait=60.0)
    script.ack(acked, acked + 0.1, 9)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=8.0)
    waiting = script.pulling(3.0, "b", wait=waits)
    script.pull(10.5, 10.6, handed(2, 0, 2), ack_wait=2.0)
    script.pulled(3.0 + waits, waiting)
    acked_in_the_drain(script, 0, count=3)


@case("same client again")
def although_another_waits(script: Script, wrong: bool) -> None:
    _comes_again(script, waits=10.0 if wrong else 7.0)


@case("same client again")
def although_another_waits_and_has_nothing(script: Script, wrong: bool) -> None:
    """Who holds something may be at its limit."""
    _comes_again(script, acked=1.4 if wrong else 10.4)


# Duplicates ----------------------------------------------------------------------------------------------------------


@case("unexplained duplicate")
def under_way_when_it_was_acked(script: Script, wrong: bool) -> None:
    """Before the ack its lease was live, after it all was done; but for a worker that was in another generation."""
    script.samples(0.0, 2.4)
    script.samples(4.0, 80.0, generation=1 if wrong else 2)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    again = script.pulling(2.9, "b")
    script.ack(3.0, 3.1, 1)
    script.pulled(3.05, again, handed(2, 0, 2))
    acked_in_the_drain(script)
