"""Stalls, on histories written by hand."""

from __future__ import annotations

import math

import pytest

from histories.handwritten import Script, handed
from support.histories.events import Began, Remade, Rewound, Struck, Trimmed, Trouble
from support.histories.stall_table import may_be, table, text
from support.histories.stalls import Stall, longest_in_calm, stalls, stretches


def trickle(
    script: Script, since: float, until: float, *, stalled: tuple[float, float] | None = None, partition: int = 0
) -> None:
    """One message a second, handed out 0.1 s later; what comes while it is stalled is handed out at the end of that."""
    for second in range(int(until - since)):
        at = since + second
        out = at + 0.1
        if stalled and stalled[0] <= out < stalled[1]:
            out = stalled[1]
        offset = int(at)
        script.produced(at, offset, partition=partition, body=f"p{partition}-{offset}", took=0.0)
        script.pull(out - 0.05, out, handed(script.ops, offset, body=f"p{partition}-{offset}", partition=partition))
    script.events.sort(key=lambda event: event.at)


def strike(script: Script, number: int, since: float, until: float, trouble: Trouble = "kill -9") -> None:
    script.events += [
        Struck(at=since, trouble=trouble, strike=number),
        Struck(at=until, trouble=trouble, strike=number, over=True),
    ]
    script.events.sort(key=lambda event: event.at)


def test_a_stall_is_the_longest_stretch_in_which_messages_waited_and_none_came() -> None:
    script = Script()
    trickle(script, 0.0, 60.0, stalled=(20.0, 27.5))
    strike(script, 1, 20.0, 22.0)
    (stall,) = stalls(script.events)
    # The message of second 20 waited from 20.0 on.
    assert (stall.seconds, stall.lasted, stall.mixed) == (7.5, 2.0, False)


def test_what_the_brokers_kept_from_being_written_waits_end_to_end() -> None:
    script = Script()
    trickle(script, 0.0, 20.0)
    # Asked for in second 20, written in second 31.
    script.produced(20.0, 20, took=11.0)
    script.pull(31.0, 31.2, handed(900, 20))
    script.events.sort(key=lambda event: event.at)
    strike(script, 1, 20.0, 30.0, "all brokers killed")
    (stall,) = stalls(script.events)
    assert (stall.seconds, stall.end_to_end) == (0.2, 11.2)


def test_where_nothing_waits_nothing_stalls() -> None:
    script = Script()
    trickle(script, 0.0, 20.0)
    trickle(script, 50.0, 60.0)
    strike(script, 1, 22.0, 40.0)
    (stall,) = stalls(script.events)
    assert stall.seconds == 0.0


def test_of_what_began_before_the_strike_only_what_lies_behind_its_beginning_counts() -> None:
    script = Script()
    trickle(script, 0.0, 60.0, stalled=(17.0, 25.0))
    strike(script, 1, 20.0, 21.0)
    (stall,) = stalls(script.events)
    assert stall.seconds == 5.0


def test_the_worst_partition_counts() -> None:
    script = Script()
    trickle(script, 0.0, 60.0, partition=0)
    trickle(script, 0.0, 60.0, stalled=(30.0, 33.0), partition=1)
    strike(script, 1, 30.0, 31.0)
    (stall,) = stalls(script.events)
    assert (stall.seconds, stall.partition) == (3.0, 1)


def test_what_begins_long_after_a_strike_or_after_the_next_one_is_not_its_own() -> None:
    script = Script()
    trickle(script, 0.0, 90.0, stalled=(60.0, 66.0))
    strike(script, 1, 10.0, 11.0)
    strike(script, 2, 57.0, 58.0)
    strike(script, 3, 59.0, 60.5)
    first, second, third = stalls(script.events)
    assert first.seconds == pytest.approx(0.1)
    assert second.seconds == pytest.approx(0.1)
    assert (third.seconds, third.mixed) == (6.0, False)


def test_a_stall_that_reaches_into_another_strike_is_mixed_and_so_are_strikes_beside_each_other() -> None:
    script = Script()
    trickle(script, 0.0, 90.0, stalled=(20.0, 26.0))
    strike(script, 1, 20.0, 21.0)
    strike(script, 2, 24.0, 25.0, "broker killed")
    strike(script, 3, 50.0, 55.0)
    strike(script, 4, 52.0, 53.0, "zookeeper killed")
    strike(script, 5, 75.0, 76.0)
    assert [stall.mixed for stall in stalls(script.events)] == [True, True, True, True, False]
    assert [stall.seconds for stall in stalls(script.events)][:2] == [6.0, 2.0]


def test_a_stall_that_never_ends_lasts_until_the_history_does() -> None:
    script = Script()
    trickle(script, 0.0, 20.0)
    script.produced(21.0, 50, took=0.0)
    strike(script, 1, 20.5, 30.0)
    (stall,) = stalls(script.events)
    assert stall.seconds == 9.0


def test_a_further_delivery_of_an_old_message_ends_no_stall() -> None:
    script = Script()
    trickle(script, 0.0, 30.0, stalled=(20.0, 27.0))
    script.pull(23.0, 23.1, handed(900, 3, 2, body="p0-3"))
    script.events.sort(key=lambda event: event.at)
    strike(script, 1, 20.0, 21.0)
    (stall,) = stalls(script.events)
    assert stall.seconds == 7.0


def test_aborted_messages_and_those_whose_outcome_nobody_knows_are_not_waited_for() -> None:
    script = Script()
    script.produced(1.0, 0, outcome="aborted")
    script.produced(1.0, 1, outcome="unknown")
    strike(script, 1, 1.0, 9.0)
    assert stretches(script.events) == []


def test_what_comes_before_its_producer_is_told_never_waited() -> None:
    script = Script()
    script.produced(1.0, 0, took=3.0)
    script.pull(1.5, 2.0, handed(1, 0))
    script.events.sort(key=lambda event: event.at)
    assert stretches(script.events) == []


@pytest.mark.parametrize(
    "event",
    [
        Trimmed(at=5.2, sent=5.0, below={0: 1}),
        Rewound(at=5.2, sent=5.0, offsets={0: 1}),
        Remade(at=5.2, sent=5.0, partitions=1),
    ],
    ids=["retention", "operator's reset", "topic made anew"],
)
def test_what_is_not_to_come_any_more_stalls_nothing(event: Trimmed | Rewound | Remade) -> None:
    script = Script()
    script.produced(1.0, 0, took=0.0)
    script.events.append(event)
    script.events.append(Struck(at=50.0, trouble="kill -9", strike=1))
    (stretch,) = stretches(script.events)
    assert (stretch.since, stretch.until) == (1.0, 5.0)


@pytest.mark.parametrize(("compacted", "left"), [(True, []), (False, [(3.0, math.inf)])])
def test_of_a_compacted_topic_only_the_latest_of_a_key_is_waited_for(
    compacted: bool, left: list[tuple[float, float]]
) -> None:
    script = Script()
    script.events[0] = Began(at=0.0, plan={"compacted": compacted})
    script.produced(1.0, 0, took=0.0)
    script.produced(2.0, 1, took=0.0)
    script.pull(2.5, 3.0, handed(1, 1))
    found = [(stretch.since, stretch.until) for stretch in stretches(script.events)]
    assert [stretch for stretch in found if stretch[1] == math.inf] == left


def test_what_stalls_with_no_strike_near_is_told_apart() -> None:
    script = Script()
    trickle(script, 0.0, 90.0, stalled=(40.0, 42.0))
    strike(script, 1, 60.0, 61.0)
    assert longest_in_calm(script.events) == 2.0


def _stall(trouble: Trouble, seconds: float, *, lasted: float = 1.0, mixed: bool = False) -> Stall:
    return Stall(
        trouble=trouble, strike=0, lasted=lasted, seconds=seconds, end_to_end=seconds + 1.0, partition=0, mixed=mixed
    )


def test_the_table_has_a_row_a_kind_the_worst_first_and_counts_mixed_ones_apart() -> None:
    rows = table(
        [
            _stall("kill -9", 2.0),
            _stall("kill -9", 4.0),
            _stall("kill -9", 5.0),
            _stall("kill -9", 20.0, mixed=True),
            _stall("all brokers killed", 31.0, lasted=33.0),
        ]
    )
    assert [row.trouble for row in rows] == ["all brokers killed", "kill -9"]
    killed = rows[1]
    assert (killed.count, killed.median, killed.longest, killed.longest_end_to_end) == (3, 4.0, 5.0, 6.0)
    assert (killed.mixed, killed.longest_mixed) == (1, 20.0)
    assert rows[0].may_be == bound("all brokers killed", 33.0) > 33.0
    assert len(text(rows).splitlines()) == 3


def bound(trouble: Trouble, lasted: float) -> float:
    seconds = may_be(trouble, lasted)
    assert seconds is not None
    return seconds


def test_a_pause_may_stall_for_as_long_as_it_lasts_a_cut_for_twice_that_or_until_the_worker_is_missed() -> None:
    assert bound("cut from brokers", 0.5) - bound("cut from brokers", 0.0) == 1.0
    assert bound("SIGSTOP", 0.5) < bound("SIGSTOP", 2.0) < bound("SIGSTOP", 8.0) == bound("SIGSTOP", 80.0)


def test_no_timeout_says_for_how_long_what_is_set_back_comes_first() -> None:
    rows = table([_stall("operator's reset", 21.0)])
    assert rows[0].may_be is None
    assert text(rows).splitlines()[1].split()[-8:] == ["21.00", "s", "-", "22.00", "s", "0", "0.00", "s"]
