"""Order by key: a history that breaks the rule, and the nearest one that does not."""

from __future__ import annotations

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed


def _two(script: Script, *, keys: tuple[str | None, str | None] = ("k", "k"), order: str = "key") -> None:
    script.plan(order=order)
    script.samples(0.0, 2.4)
    script.samples(4.0, 80.0, generation=2)
    script.produced(1.0, 0, key=keys[0])
    script.produced(1.1, 1, key=keys[1])


def _both_at_once(script: Script, *, keys: tuple[str | None, str | None] = ("k", "k"), order: str = "key") -> None:
    _two(script, keys=keys, order=order)
    script.pull(2.0, 2.1, handed(1, 0, key=keys[0]), client="a")
    script.pull(2.2, 2.3, handed(2, 1, key=keys[1]), client="b")
    script.ack(2.35, 2.4, 1)
    script.ack(2.35, 2.4, 2)
    acked_in_the_drain(script, ends=2)


@case("order by key")
def two_of_a_key_in_flight(script: Script, wrong: bool) -> None:
    _both_at_once(script, keys=("k", "k" if wrong else "other"))


@case("order by key")
def two_of_no_key_in_flight(script: Script, wrong: bool) -> None:
    _both_at_once(script, keys=("k", "k") if wrong else (None, None))


@case("order by key")
def where_it_was_asked_for(script: Script, wrong: bool) -> None:
    _both_at_once(script, order="key" if wrong else "none")


@case("order by key")
def before_the_first_was_acked(script: Script, wrong: bool) -> None:
    """An ack that nobody has answered yet may have settled it already."""
    _two(script)
    script.pull(2.0, 2.1, handed(1, 0), client="a")
    waiting = script.pulling(2.2, "b")
    script.ack(2.35 if wrong else 2.25, 9.0, 1)
    script.pulled(2.3, waiting, handed(2, 1))
    script.ack(9.1, 9.2, 2)
    acked_in_the_drain(script, ends=2)


@case("order by key")
def after_a_nack(script: Script, wrong: bool) -> None:
    """While the first one rests the key does."""
    _two(script)
    script.pull(2.0, 2.1, handed(1, 0), client="a")
    script.settle(2.2, 2.3, "nack" if wrong else "reject", 1, delay=1.0 if wrong else None)
    script.pull(4.5, 4.6, handed(2, 1), client="b")
    script.ack(4.7, 4.8, 2)
    acked_in_the_drain(script, *((0,) if wrong else ()), count=2, ends=2)


@case("order by key")
def after_a_late_ack(script: Script, wrong: bool) -> None:
    """It settles what somebody else has by now; the next one goes out, though that one is still at work."""
    _two(script)
    script.pull(2.0, 2.1, handed(1, 0), client="a", ack_wait=3.0)
    script.pull(6.0, 6.1, handed(2, 0, 2), client="b")
    if not wrong:
        script.ack(6.2, 6.3, 1, "late")
    script.pull(6.4, 6.5, handed(3, 1), client="c")
    script.ack(7.0, 7.1, 2, "ok" if wrong else "already_settled")
    script.ack(7.0, 7.1, 3)
    acked_in_the_drain(script, ends=2)


@case("order by key")
def ignored_at_a_take_over(script: Script, wrong: bool) -> None:
    """The new owner does not know what the one that was killed had handed out, but that it is not settled it does."""
    _two(script)
    script.pull(2.0, 2.1, handed(1, 0), client="a", ack_wait=30.0)
    script.struck(2.5, 3.0, "kill -9", worker=1)
    if wrong:
        script.pull(5.0, 5.1, handed(2, 1), client="b")
        script.ack(5.2, 5.3, 2)
        acked_in_the_drain(script, 0, ends=2)
    else:
        script.pull(5.0, 5.1, handed(3, 0), client="b")
        script.ack(5.2, 5.3, 3)
        script.pull(5.4, 5.5, handed(2, 1), client="b")
        script.ack(5.6, 5.7, 2)
        acked_in_the_drain(script, ends=2)


@case("order by key")
def an_ack_that_a_kill_took_with_it(script: Script, wrong: bool) -> None:
    """What was not asked for to be durable may be forgotten: the first comes again while the second is under way."""
    _two(script)
    script.pull(2.0, 2.1, handed(1, 0), client="a")
    if not wrong:
        script.ack(2.15, 2.16, 1, durable=False)
    script.pull(2.2, 2.3, handed(2, 1), client="b")
    script.struck(2.5, 3.0, "kill -9", worker=1)
    script.pull(5.0, 5.1, handed(3, 0), client="c")
    script.ack(5.2, 5.3, 2)
    script.ack(5.2, 5.3, 3)
    acked_in_the_drain(script, ends=2)


@case("order by key")
def what_was_deleted_is_not_waited_for(script: Script, wrong: bool) -> None:
    _two(script)
    script.pull(2.0, 2.1, handed(1, 0), client="a", ack_wait=30.0)
    if not wrong:
        script.trimmed(4.0, 4.1, {0: 1})
    script.pull(5.0, 5.1, handed(2, 1), client="b")
    script.ack(5.2, 5.3, 1, "ok" if wrong else "gone")
    script.ack(5.2, 5.3, 2)
    acked_in_the_drain(script, ends=2)


@case("not handed out")
def the_next_of_a_key_that_is_free(script: Script, wrong: bool) -> None:
    """It waits for the one before, for as long as that is not settled."""
    script.plan(order="key")
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.produced(1.1, 1)
    script.pull(2.0, 2.1, handed(1, 0), client="a", ack_wait=30.0)
    script.ack(3.0 if wrong else 8.0, 3.1 if wrong else 8.1, 1)
    script.pull(2.5, 8.0, client="b", wait=5.5)
    acked_in_the_drain(script, 1)
