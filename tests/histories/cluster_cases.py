"""Histories of two workers, for what the judge knows of clusters: one breaks a rule, the nearest one does not.

Worker 1 has partition 0, worker 2 has partition 1, until they change places.
"""

from __future__ import annotations

from typing import Any

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed
from support.histories.events import Trouble


def two_workers(script: Script, *, move_at: float = 80.0, degraded: bool = False) -> None:
    """They are asked all along; from ``move_at`` on they are in another generation, with their partitions exchanged."""
    script.launched(0.0, 1, 2)
    reasons = ["rebalancing"] if degraded else []
    for generation, since, until in ((1, 0.0, move_at), (2, move_at + 0.2, 80.0)):
        if since < until:
            script.samples(since, until, generation=generation)
            script.samples(since, until, generation=generation, worker=2, degraded=reasons)
    script.owned(0.5, 1, {1: [0], 2: [1]})
    script.owned(move_at + 0.5, 2, {1: [1], 2: [0]})


# Leases --------------------------------------------------------------------------------------------------------------


@case("two leases")
def at_two_workers(script: Script, wrong: bool) -> None:
    """Whoever takes a partition over knows nothing of an owner that was killed."""
    two_workers(script, move_at=80.0 if wrong else 2.4)
    script.struck(2.3, 2.4, "kill -9", worker=1)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    script.pull(3.0, 3.1, handed(2, 0, 2), client="b", worker=2, ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def by_one_that_woke_up_late(script: Script, wrong: bool) -> None:
    """Worker 1 still believes in its generation when worker 2 has long been in the next one; both are believed."""
    script.launched(0.0, 1, 2)
    script.samples(0.0, 2.4)
    script.samples(0.0, 2.4, worker=2)
    if wrong:
        script.samples(2.4, 5.0, worker=2)
    else:
        script.samples(2.4, 5.0, worker=2, generation=2)
    script.samples(4.0, 5.0)
    script.owned(0.5, 1, {1: [0], 2: [1]})
    script.struck(2.5, 3.9, "SIGSTOP", worker=1)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    script.pull(3.0, 3.1, handed(2, 0, 2), client="b", worker=2, ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def where_a_worker_has_just_come(script: Script, wrong: bool) -> None:
    """Until it has been asked nobody knows which generation the newcomer is in."""
    script.launched(0.0, 1, 2)
    script.samples(0.0, 2.4)
    script.samples(0.0, 2.4, worker=2)
    if not wrong:
        script.launched(2.5, 3)
    script.samples(2.6, 5.0)
    script.samples(2.6, 5.0, worker=2)
    script.owned(0.5, 1, {1: [0], 2: [1]})
    script.struck(2.3, 2.4, "kill -9", worker=1)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=5.0)
    script.pull(3.0, 3.1, handed(2, 0, 2), client="b", worker=2 if wrong else 3, ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def one_of_them_a_loan(script: Script, wrong: bool) -> None:
    """Worker 2 may have written it and not have said so: given back, and not counted."""
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=2, ack_wait=5.0)
    script.pull(3.5, 3.6, handed(2, 0, 2 if wrong else 1), client="b", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def longer_than_a_loan(script: Script, wrong: bool) -> None:
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=2, ack_wait=9.0)
    at = 7.5 if wrong else 3.5
    script.pull(at, at + 0.1, handed(2, 0, 1), client="b", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=2)


@case("two leases")
def given_to_a_third_by_who_had_it_after_a_loan(script: Script, wrong: bool) -> None:
    """The loan ended uncounted, the next client let it expire, and the count that rose is of that one."""
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=2, ack_wait=5.0)
    if not wrong:
        script.pull(4.2, 4.3, handed(2, 0, 1), client="b", ack_wait=0.3)
    script.pull(4.5, 4.7, handed(3, 0, 2), client="c", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


def _dropped(
    script: Script, *, worker: int = 2, dropped_at: float = 4.2, again_at: float = 4.5, count: int = 2
) -> None:
    """What was on loan, if it was, went to a client that had left; another one gets it."""
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=worker, ack_wait=12.0)
    script.pull(dropped_at, dropped_at + 0.1, client="b", ack_wait=1.0, outcome="unknown")
    script.pull(again_at, again_at + 0.2, handed(3, 0, count), client="c", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("two leases")
def dropped_by_who_had_it_after_a_loan(script: Script, wrong: bool) -> None:
    """The client in between has left before it could be seen what it had."""
    _dropped(script, dropped_at=1.2 if wrong else 4.2)


@case("two leases")
def dropped_by_who_had_it_after_no_loan(script: Script, wrong: bool) -> None:
    _dropped(script, worker=1 if wrong else 2)


@case("two leases")
def dropped_when_no_loan_can_have_lasted_so_long(script: Script, wrong: bool) -> None:
    _dropped(script, dropped_at=7.0 if wrong else 6.0, again_at=7.5)


@case("two leases")
def counted_as_if_nobody_had_dropped_it(script: Script, wrong: bool) -> None:
    """Who was handed it after the loan, and left, counts: what comes then for the first time has waited for that."""
    _dropped(script, again_at=7.5, count=1 if wrong else 2)


# Moves ---------------------------------------------------------------------------------------------------------------


def _moved(script: Script, trouble: Trouble = "worker added", *, again_at: float = 5.0, **lease: Any) -> None:
    """Partition 0 goes to worker 2 while a client has a message of it, which another client gets there."""
    two_workers(script, move_at=3.0)
    script.struck(2.9, 3.1, trouble, worker=1)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), **{"ack_wait": 5.0, **lease})
    script.pull(again_at, again_at + 0.1, handed(2, 0, 2), client="b", worker=2, ack_wait=9.0)
    acked_in_the_drain(script, 0, count=3)


@case("cut by a move")
def of_one_that_went_in_good_order(script: Script, wrong: bool) -> None:
    _moved(script, "worker removed" if wrong else "kill -9")


@case("cut by a move")
def before_its_end(script: Script, wrong: bool) -> None:
    _moved(script, again_at=6.8 if wrong else 7.0)


@case("cut by a move")
def of_a_lease_that_no_loan_was(script: Script, wrong: bool) -> None:
    _moved(script, worker=1 if wrong else 2)


@case("cut by a move")
def of_one_that_nothing_held_up(script: Script, wrong: bool) -> None:
    """Who does not answer for a second may have found no time for its last row."""
    script.launched(0.0, 1, 2)
    script.samples(0.0, 2.0)
    script.samples(0.0, 2.4, worker=2)
    script.samples(2.6 if wrong else 3.2, 80.0, generation=2)
    script.samples(2.6, 80.0, generation=2, worker=2)
    script.owned(0.5, 1, {1: [0], 2: [1]})
    script.produced(0.5, 0)
    script.pull(1.0, 1.1, handed(1, 0), ack_wait=5.0)
    script.pull(4.0, 4.1, handed(2, 0, 2), client="b", worker=2, ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


@case("cut by a move")
def of_one_that_knew_its_partitions(script: Script, wrong: bool) -> None:
    """Who has not heard from the group for a while hands nothing over: others may have had the partition since."""
    script.launched(0.0, 1, 2)
    script.samples(0.0, 2.0)
    script.samples(2.2, 2.4, degraded=[] if wrong else ["no recent answer from the group's coordinator"])
    script.samples(0.0, 2.4, worker=2)
    script.samples(2.6, 80.0, generation=2)
    script.samples(2.6, 80.0, generation=2, worker=2)
    script.owned(0.5, 1, {1: [0], 2: [1]})
    script.produced(0.5, 0)
    script.pull(1.0, 1.1, handed(1, 0), ack_wait=5.0)
    script.pull(4.0, 4.1, handed(2, 0, 2), client="b", worker=2, ack_wait=1.0)
    acked_in_the_drain(script, 0, count=3)


# Counts --------------------------------------------------------------------------------------------------------------


@case("delivery count")
def an_owner_lends_nothing_to_itself(script: Script, wrong: bool) -> None:
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=1 if wrong else 2, ack_wait=1.0)
    script.pull(4.0, 4.1, handed(2, 0, 1), client="b", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=2)


@case("delivery count")
def a_loan_of_which_something_was_heard(script: Script, wrong: bool) -> None:
    """Its lease was extended, so its owner knew that a client had it."""
    two_workers(script)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), worker=2, ack_wait=1.0)
    script.settle(2.2, 2.3, "extend", 1, "ok" if wrong else "retry", ack_wait=1.0)
    script.pull(4.0, 4.1, handed(2, 0, 1), client="b", ack_wait=1.0)
    acked_in_the_drain(script, 0, count=2)


@case("delivery count")
def moved_before_it_was_written_down(script: Script, wrong: bool) -> None:
    two_workers(script, move_at=6.0 if wrong else 4.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=0.3)
    script.pull(2.5, 2.6, handed(2, 0, 2), client="b", ack_wait=0.5)
    script.pull(7.0, 7.1, handed(3, 0, 1), client="c", ack_wait=0.5)
    acked_in_the_drain(script, 0, count=2)


# Answers -------------------------------------------------------------------------------------------------------------


@case("hung")
def another_worker_was_stopped(script: Script, wrong: bool) -> None:
    script.launched(0.0, 1, 2)
    script.struck(3.0, 7.0, "SIGSTOP", worker=2 if wrong else 1)
    script.pull(2.0, 12.0, wait=2.0)
    acked_in_the_drain(script)


# What waits ----------------------------------------------------------------------------------------------------------


@case("not handed out")
def free_at_another_worker(script: Script, wrong: bool) -> None:
    two_workers(script, degraded=not wrong)
    script.produced(1.0, 0)
    script.pull(10.0, 20.0, client="b", worker=2)
    acked_in_the_drain(script, 0)


@case("not handed out")
def on_its_way_to_another_worker_and_back(script: Script, wrong: bool) -> None:
    two_workers(script)
    script.produced(14.0 if wrong else 15.0, 0)
    script.pull(10.0, 20.0, client="b", worker=2)
    acked_in_the_drain(script, 0)


@case("not handed out")
def a_lease_that_was_handed_over(script: Script, wrong: bool) -> None:
    """The next owner counts what was left of it from when it reads of it."""
    two_workers(script, move_at=4.0 if wrong else 10.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=6.0)
    script.pull(10.5, 20.0, client="b", worker=2)
    acked_in_the_drain(script, 0, count=2)


# Owners --------------------------------------------------------------------------------------------------------------


@case("two owners")
def of_one_partition_in_one_generation(script: Script, wrong: bool) -> None:
    script.launched(0.0, 1, 2)
    script.owned(1.0, 1, {1: [0, 1]})
    script.owned(2.0, 1 if wrong else 2, {2: [1]})
    acked_in_the_drain(script)
