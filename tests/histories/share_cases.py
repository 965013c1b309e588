"""Shares of groups: a history that breaks a rule, and the nearest one that does not."""

from __future__ import annotations

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed

BOTH = {"stable": 90, "canary": 10}
OUT = {"stable": 100, "canary": 0}
ONLY = {"stable": 0, "canary": 100}

# Weight zero ---------------------------------------------------------------------------------------------------------


def _taken_out(script: Script, *, asked: float, trouble: bool = False) -> None:
    """The canary had a share until 10.1; what is produced at 12 is handed to it when it asks then, or later."""
    script.samples(0.0, 80.0)
    script.shares(0.0, 10.0, 1, BOTH)
    script.changed(10.0, 10.1, 2, OUT)
    script.shares(10.2, 80.0, 2, OUT)
    if trouble:
        script.struck(9.0, 15.0, "SIGSTOP", worker=1)
    script.produced(12.0, 0)
    script.pull(asked, max(asked, 14.0) + 0.1, handed(1, 0), client="c", group="canary")
    script.ack(20.0, 20.1, 1)
    acked_in_the_drain(script)


@case("weight zero")
def asked_when_it_had_been_taken_out(script: Script, wrong: bool) -> None:
    _taken_out(script, asked=13.2 if wrong else 12.0)


@case("weight zero")
def asked_when_all_had_heard_of_it(script: Script, wrong: bool) -> None:
    """A worker that was stopped when the shares were changed has not heard of it yet."""
    _taken_out(script, asked=14.0, trouble=not wrong)


@case("weight zero")
def a_message_of_after_the_change(script: Script, wrong: bool) -> None:
    """The pull had waited since long before: what was written after the change was handed out after it."""
    script.samples(0.0, 80.0)
    script.shares(0.0, 10.0, 1, BOTH)
    script.changed(10.0, 10.1, 2, OUT)
    script.shares(10.2, 80.0, 2, OUT)
    waiting = script.pulling(9.0, "c", group="canary")
    script.produced(13.2 if wrong else 13.0, 0)
    script.pulled(13.5, waiting, handed(1, 0))
    script.ack(20.0, 20.1, 1)
    acked_in_the_drain(script)


@case("weight zero")
def a_share_that_may_be_another_by_then(script: Script, wrong: bool) -> None:
    """Who asks for shares has not been answered yet; they may hold somewhere all the same."""
    script.samples(0.0, 80.0)
    script.shares(0.0, 20.0 if wrong else 14.8, 1, OUT)
    script.changed(20.0 if wrong else 14.9, 20.1, 2, BOTH)
    script.shares(20.2, 80.0, 2, BOTH)
    script.produced(12.0, 0)
    script.pull(14.0, 15.1, handed(1, 0), client="c", group="canary")
    script.ack(20.5, 20.6, 1)
    acked_in_the_drain(script)


@case("weight zero")
def stable_while_the_canary_is_there(script: Script, wrong: bool) -> None:
    """When nobody of a weighted group is alive, stable is served whatever its weight."""
    script.samples(0.0, 80.0)
    script.changed(1.0, 1.1, 1, ONLY)
    script.shares(1.2, 80.0, 1, ONLY)
    script.pull(5.0, 15.0, client="c", group="canary", empty="share")
    if wrong:
        script.pull(15.1, 25.0, client="c", group="canary", empty="share")
    script.produced(24.0, 0)
    script.pull(24.5, 24.6, handed(1, 0))
    script.ack(24.7, 24.8, 1)
    acked_in_the_drain(script)


@case("weight zero")
def anybody_when_all_weights_are_zero(script: Script, wrong: bool) -> None:
    nobody = {"stable": 0, "canary": 0 if wrong else 1}
    script.samples(0.0, 80.0)
    script.changed(1.0, 1.1, 1, nobody)
    script.shares(1.2, 50.0, 1, nobody)
    script.produced(7.0, 0)
    script.pull(8.0, 8.1, handed(1, 0))
    script.ack(8.2, 8.3, 1)
    acked_in_the_drain(script)


# Failed by a canary --------------------------------------------------------------------------------------------------


def _failed(
    script: Script,
    *,
    next_to: str,
    weights: dict[str, int] = BOTH,
    count: int = 2,
    holder: str = "canary",
    killed: bool = False,
) -> None:
    """The canary nacks it, and somebody has it next."""
    script.samples(0.0, 80.0)
    script.changed(1.0, 1.1, 1, weights)
    script.shares(1.2, 80.0, 1, weights)
    script.produced(7.0, 0)
    script.pull(8.0, 8.1, handed(1, 0), client="c", group=holder)
    script.settle(8.2, 8.3, "nack", 1, delay=0.0)
    if killed:
        script.struck(8.4, 8.5, "kill -9", worker=1)
    script.pull(9.0, 9.1, handed(2, 0, count), client="d", group=next_to)
    script.ack(9.2, 9.3, 2)
    acked_in_the_drain(script)


@case("failed by a canary")
def next_to_a_canary_again(script: Script, wrong: bool) -> None:
    _failed(script, next_to="canary" if wrong else "stable")


@case("failed by a canary")
def next_to_a_canary_while_stable_has_a_weight(script: Script, wrong: bool) -> None:
    _failed(script, next_to="canary", weights=BOTH if wrong else {"stable": 0, "canary": 100, "other": 1})


@case("failed by a canary")
def next_to_another_canary(script: Script, wrong: bool) -> None:
    """What stable itself has failed may go anywhere."""
    weights = {"stable": 80, "canary": 10, "other": 10}
    _failed(script, next_to="other", weights=weights, holder="canary" if wrong else "stable")


@case("failed by a canary")
def whose_owner_lives(script: Script, wrong: bool) -> None:
    """Who was killed has taken with it who it was that failed it."""
    _failed(script, next_to="canary", killed=not wrong)


# Key of another group ------------------------------------------------------------------------------------------------


def _of_a_key(script: Script, *, by: str = "key", second_count: int = 1, key: str | None = "k") -> None:
    """Both groups wait all the time, and get one message each."""
    script.samples(0.0, 80.0)
    script.changed(1.0, 1.1, 1, BOTH, by=by)  # type: ignore[arg-type]
    script.shares(1.2, 80.0, 1, BOTH, by=by)  # type: ignore[arg-type]
    one, other = script.pulling(2.0, "s", wait=20.0), script.pulling(2.0, "c", wait=20.0, group="canary")
    script.produced(10.0, 0, key=key)
    script.produced(10.0, 1, key=key)
    if second_count > 1:
        script.pull(10.2, 10.3, handed(3, 1, key=key), client="t", ack_wait=0.5)
    script.pulled(12.1, one, handed(1, 0, key=key))
    script.pulled(12.1, other, handed(2, 1, second_count, key=key))
    script.ack(12.2, 12.3, 1)
    script.ack(12.2, 12.3, 2)
    acked_in_the_drain(script, ends=2)


@case("key of another group")
def two_of_a_key(script: Script, wrong: bool) -> None:
    _of_a_key(script, by="key" if wrong else "message")


@case("key of another group")
def none_of_no_key(script: Script, wrong: bool) -> None:
    _of_a_key(script, key="k" if wrong else None)


@case("key of another group")
def for_the_first_time(script: Script, wrong: bool) -> None:
    """What stable has failed is its key's again."""
    _of_a_key(script, second_count=1 if wrong else 2)


@case("key of another group")
def while_its_group_is_there(script: Script, wrong: bool) -> None:
    script.samples(0.0, 80.0)
    script.changed(1.0, 1.1, 1, BOTH, by="key")
    script.shares(1.2, 80.0, 1, BOTH, by="key")
    script.produced(7.0, 0)
    script.produced(40.0, 1)
    script.pull(3.0, 8.1, handed(1, 0), client="c", group="canary")
    script.ack(8.2, 8.3, 1)
    if wrong:
        script.pull(30.0, 41.0, client="c", group="canary", wait=20.0, empty="share")
    stable = script.pulling(2.0, "s", wait=60.0)
    script.pulled(40.5, stable, handed(2, 1))
    script.ack(40.6, 40.7, 2)
    acked_in_the_drain(script, ends=2)


@case("key of another group")
def before_and_after_a_change(script: Script, wrong: bool) -> None:
    """Other weights give keys to other groups."""
    script.samples(0.0, 80.0)
    script.changed(1.0, 1.1, 1, BOTH, by="key")
    script.shares(1.2, 19.0 if not wrong else 80.0, 1, BOTH, by="key")
    if not wrong:
        script.changed(19.5, 19.6, 2, {"stable": 50, "canary": 50}, by="key")
        script.shares(20.0, 80.0, 2, {"stable": 50, "canary": 50}, by="key")
    stable, canary = script.pulling(2.0, "s", wait=60.0), script.pulling(2.0, "c", wait=60.0, group="canary")
    script.produced(10.0, 0)
    script.pulled(10.1, stable, handed(1, 0))
    script.pull(11.0, 40.1, client="s", wait=60.0, empty="share")
    script.produced(30.0, 1)
    script.pulled(30.1, canary, handed(2, 1))
    script.ack(30.2, 30.3, 1)
    script.ack(30.2, 30.3, 2)
    acked_in_the_drain(script, ends=2)


# What was answered ---------------------------------------------------------------------------------------------------


def _late_word(
    script: Script, *, made_in: int = 1, version: int = 1, first: int = 2, weights: dict[str, int] = OUT
) -> None:
    """Worker 2 has said version 2, which was answered, and says another one later."""
    script.changed(10.0, 10.1, 2, OUT, made_in=2)
    script.shares(10.2, 15.0, first, OUT, made_in=2, worker=2)
    script.shares(15.2, 16.0, version, weights, made_in=made_in, worker=2)
    acked_in_the_drain(script)


@case("shares undone")
def by_a_smaller_version(script: Script, wrong: bool) -> None:
    _late_word(script, version=1 if wrong else 3)


@case("shares undone")
def by_the_same_version_of_another_epoch(script: Script, wrong: bool) -> None:
    _late_word(script, version=2, made_in=1 if wrong else 2)


@case("shares undone")
def by_other_weights_of_the_same_version(script: Script, wrong: bool) -> None:
    _late_word(script, version=2, made_in=2, weights=BOTH if wrong else OUT)


@case("shares undone")
def at_the_worker_that_has_answered(script: Script, wrong: bool) -> None:
    """At once; another worker has 2 s to hear of it."""
    script.changed(10.0, 10.1, 2, OUT, worker=1)
    script.shares(10.2, 11.0, 1, BOTH, worker=1 if wrong else 2)
    acked_in_the_drain(script)


@case("shares undone")
def by_an_answer_that_knows_nothing_of_it(script: Script, wrong: bool) -> None:
    script.changed(10.0, 10.1, 2, OUT, worker=1)
    script.changed(10.2, 10.3, 2 if wrong else 3, BOTH, made_in=2, worker=2)
    acked_in_the_drain(script)


@case("shares undone")
def two_changes_of_one_version(script: Script, wrong: bool) -> None:
    """Of two that are to be changes of the same version one is refused."""
    script.changed(10.0, 10.2, 2, OUT, of=(1, 1))
    script.changed(10.1, 10.3, 3, BOTH, of=(1, 1) if wrong else (2, 1), worker=2)
    acked_in_the_drain(script)


def _not_heard(script: Script, until: float, *, cut: bool = False) -> None:
    script.samples(0.0, 80.0)
    script.changed(10.0, 10.1, 2, OUT)
    script.shares(9.0, until, 1, BOTH, worker=2)
    if cut:
        script.struck(9.5, 12.0, "cut from brokers", worker=2)
    acked_in_the_drain(script)


@case("shares apart")
def for_longer_than_it_takes(script: Script, wrong: bool) -> None:
    _not_heard(script, 13.4 if wrong else 13.0)


@case("shares apart")
def with_nothing_in_the_way(script: Script, wrong: bool) -> None:
    _not_heard(script, 13.4, cut=not wrong)
