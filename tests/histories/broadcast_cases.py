"""Broadcast, where each group is handed everything: a history that breaks a rule, and the nearest one that does not."""

from __future__ import annotations

from histories.casebook import case
from histories.handwritten import Script, handed


def _drained(script: Script, groups: dict[str, tuple[int, ...]], *, count: int = 1, end: int = 1) -> None:
    """Each group is asked for in the drain, and acks these."""
    lease = 900
    for group, offsets in groups.items():
        script.pull(90.0, 90.1, *(handed(lease + n, n, count) for n in offsets), client=f"drain-{group}", group=group)
        for offset in offsets:
            script.ack(90.2, 90.3, lease + offset, client=f"drain-{group}")
        lease += 10
    script.committed(90.9, {0: end})
    script.drained(90.0, 91.0, {0: end})
    # Pulls take long, and each was written down at once.
    script.events.sort(key=lambda event: event.at)


def _both(script: Script, *, produced: float = 5.0, acked: bool = True) -> None:
    """Groups a and b are there all the time, and a has the only message."""
    script.plan(delivery="broadcast", client_ttl_ms=10_000)
    script.samples(0.0, 89.0)
    script.produced(produced, 0)
    for group in "ab":
        first = 6.0 if group == "a" else 4.0
        script.pull(1.0, first, *((handed(1, 0),) if group == "a" else ()), client=group, group=group, ack_wait=60.0)
        for n in range(10):
            script.pull(first + 8 * n, first + 8 * n + 7.0, client=group, group=group, wait=7.0, empty="none")
    if acked:
        script.ack(6.1, 6.2, 1, client="a")


@case("lost")
def by_a_group_that_was_there(script: Script, wrong: bool) -> None:
    """What is written before a group has been answered for the first time is not due to it."""
    _both(script, produced=5.0 if wrong else 3.5)
    _drained(script, {"a": (), "b": ()}, end=0)


@case("acked and again")
def to_the_same_group(script: Script, wrong: bool) -> None:
    _both(script)
    group = "a" if wrong else "b"
    script.pull(70.0, 70.1, handed(2, 0, 2 if wrong else 1), client="c", group=group)
    script.ack(70.2, 70.3, 2, "already_settled" if wrong else "ok", client="c")
    _drained(script, {"a": (), "b": (0,) if wrong else ()})


@case("committed")
def above_what_one_group_has_not_acked(script: Script, wrong: bool) -> None:
    _both(script)
    if not wrong:
        script.pull(69.0, 69.1, handed(2, 0), client="b", group="b")
        script.ack(69.2, 69.3, 2, client="b")
    script.committed(70.0, {0: 1})
    _drained(script, {"a": (), "b": (0,) if wrong else ()})


@case("two leases")
def in_one_group(script: Script, wrong: bool) -> None:
    _both(script, acked=False)
    script.pull(30.0, 30.1, handed(2, 0, 2 if wrong else 1), client="c", group="a" if wrong else "b")
    script.ack(30.2, 30.3, 1, client="a")
    script.ack(30.2, 30.3, 2, client="c")
    _drained(script, {"a": (), "b": (0,) if wrong else ()})


def _comes_back(script: Script, *, away: float, again: bool) -> None:
    """B acks the message, is away for so long, and comes back; it may be handed the message once more."""
    script.plan(delivery="broadcast", client_ttl_ms=10_000)
    script.samples(0.0, 89.0)
    script.pull(1.0, 2.0, client="a", group="a", wait=1.0, empty="none")
    for n in range(11):
        script.pull(2.0 + 8 * n, 9.0 + 8 * n, client="a", group="a", wait=7.0, empty="none")
    script.pull(1.0, 2.0, client="b", group="b", wait=1.0, empty="none")
    script.produced(5.0, 0)
    script.pull(6.0, 6.1, handed(1, 0), client="b", group="b", ack_wait=1.0)
    script.ack(6.2, 6.3, 1, client="b")
    at = 6.1 + away
    count = 2 if away < 10.0 else 1
    script.pull(at, at + 0.1, *((handed(2, 0, count),) if again else ()), client="b", group="b", ack_wait=1.0)
    if again:
        script.ack(at + 0.2, at + 0.3, 2, client="b")
    for n in range(8):
        script.pull(at + 8 * n, at + 7.0 + 8 * n, client="b", group="b", wait=7.0, empty="none")
    _drained(script, {"a": (0,), "b": ()})


@case("acked and again")
def for_as_long_as_the_group_is_there(script: Script, wrong: bool) -> None:
    """A group that may have been dropped meanwhile may begin anew."""
    _comes_back(script, away=7.0 if wrong else 12.0, again=True)


@case("joined anew")
def behind_what_had_been_handed_out(script: Script, wrong: bool) -> None:
    """A group that was dropped and comes again gets nothing of what was there before."""
    _comes_back(script, away=30.0, again=wrong)


@case("joined anew")
def which_nobody_had_been_handed(script: Script, wrong: bool) -> None:
    """What nobody was offered yet, though it is there, is for a group that comes."""
    script.plan(delivery="broadcast", client_ttl_ms=10_000)
    script.samples(0.0, 89.0)
    script.produced(5.0, 0)
    script.pull(1.0, 6.0, handed(1, 0), client="a", group="a")
    script.ack(6.1, 6.2, 1, client="a")
    script.pull(7.0, 89.0, client="a", group="a", empty="none", wait=82.0)
    asked = 6.5 if wrong else 5.5
    script.pull(asked, 7.0, handed(2, 0), client="b", group="b")
    script.ack(7.1, 7.2, 2, client="b")
    script.pull(8.0, 89.0, client="b", group="b", empty="none", wait=81.0)
    _drained(script, {"a": (), "b": ()})


@case("genuine lease refused")
def of_a_group_that_is_there(script: Script, wrong: bool) -> None:
    """Who was away for long enough may have been dropped, and its leases with it."""
    script.plan(delivery="broadcast", client_ttl_ms=10_000)
    script.samples(0.0, 89.0)
    script.produced(5.0, 0)
    script.pull(1.0, 6.0, handed(1, 0), client="a", group="a", ack_wait=1.0)
    script.ack(20.0, 20.1, 1, "gone", client="a")
    if wrong:
        script.pull(9.0, 19.0, client="a", group="a", empty="none")
        script.pull(19.1, 29.0, client="a", group="a", empty="none")
        script.pull(29.1, 90.0, client="a", group="a", empty="none", wait=61.0)
    _drained(script, {"a": (0,) if wrong else ()}, count=2)


def _fails_and_comes_back(script: Script, *, back: float, count: int, to: int | None = None) -> None:
    """B acks 0 and fails 1, is not heard of until then, and is handed 1 with this count.

    ``to``: where an operator has set the group meanwhile, to what b has not settled or back to what it has.
    """
    script.plan(delivery="broadcast", client_ttl_ms=10_000)
    script.samples(0.0, 9.0)
    script.samples(14.0, 89.0, generation=2)
    script.pull(1.0, 2.0, client="b", group="b", wait=1.0, empty="none")
    for offset in range(2):
        script.produced(3.0, offset)
    script.pull(4.0, 4.1, handed(1, 0), handed(2, 1), client="b", group="b", ack_wait=1.0)
    script.ack(4.2, 4.3, 1, client="b")
    script.settle(4.2, 4.3, "nack", 2, delay=0.0, client="b")
    script.committed(8.0, {0: 1})
    script.gone(9.0, 1)
    if to is not None:
        script.rewound(9.5, 10.0, {0: to})
    script.launched(10.5, 1)
    again = [handed(3, 0)] if to == 0 else []
    script.pull(back, back + 0.1, *again, handed(4, 1, count), client="b", group="b")
    for handout in (*again, handed(4, 1)):
        script.ack(back + 0.2, back + 0.3, handout.lease, client="b")
    script.pull(back + 0.4, 89.0, client="b", group="b", empty="none", wait=89.0 - back)
    _drained(script, {"b": ()}, end=2)


@case("delivery count")
def of_a_group_that_may_have_been_dropped(script: Script, wrong: bool) -> None:
    """It may have been kept, and then what it had failed counts on; once."""
    _fails_and_comes_back(script, back=16.0, count=3 if wrong else 2)


@case("delivery count")
def of_a_group_that_was_kept_through_a_reset(script: Script, wrong: bool) -> None:
    """To where it stood, or behind that: what had failed there is remembered. Once, here too."""
    _fails_and_comes_back(script, back=16.0, count=3 if wrong else 2, to=1)


@case("delivery count")
def of_a_group_that_was_set_back(script: Script, wrong: bool) -> None:
    """Then everything begins anew, kept or not."""
    _fails_and_comes_back(script, back=16.0, count=2, to=0 if wrong else 1)


@case("delivery count")
def of_a_group_that_certainly_was_dropped(script: Script, wrong: bool) -> None:
    _fails_and_comes_back(script, back=40.0, count=2 if wrong else 1)
