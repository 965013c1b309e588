"""Histories in which operators do something to topic and group: one breaks a rule, the nearest one does not."""

from __future__ import annotations

from histories.casebook import acked_in_the_drain, case
from histories.handwritten import Script, handed


def _acked(script: Script, at: float, lease: int, offset: int, count: int = 1, *, body: str = "") -> None:
    script.pull(at, at + 0.1, handed(lease, offset, count, body=body))
    script.ack(at + 0.2, at + 0.3, lease)


# Retention -----------------------------------------------------------------------------------------------------------


@case("lost")
def deleted_by_retention(script: Script, wrong: bool) -> None:
    for offset in range(3):
        script.produced(1.0, offset)
    script.trimmed(2.0, 2.1, {0: 1 if wrong else 2})
    _acked(script, 3.0, 1, 2)
    acked_in_the_drain(script)


@case("committed")
def past_what_retention_took(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.committed(1.9 if wrong else 2.2, {0: 1})
    script.trimmed(2.0, 2.1, {0: 1})
    acked_in_the_drain(script)


@case("genuine lease refused")
def gone_with_the_message(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    if not wrong:
        script.trimmed(2.5, 2.6, {0: 1})
    script.ack(3.0, 3.1, 1, "gone")
    script.ack(4.0, 4.1, 1, "ok")
    acked_in_the_drain(script)


@case("two leases")
def a_lease_on_what_is_deleted(script: Script, wrong: bool) -> None:
    """It is over with the message, and of the message nobody knows where it is at that moment."""
    script.samples(0.0, 80.0)
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0))
    if not wrong:
        script.trimmed(2.5, 2.6, {0: 1})
    script.pull(3.0, 3.1, handed(2, 0, 2), client="b", ack_wait=1.0)
    script.ack(3.5, 3.6, 2)
    acked_in_the_drain(script)


# An operator's reset of the group ------------------------------------------------------------------------------------


def _set_back(script: Script, to: int, *, since: float = 5.0, was: int = 2) -> None:
    """All workers are stopped meanwhile."""
    script.committed(since - 0.5, {0: was})
    script.rewound(since, since + 0.1, {0: to})


@case("lost")
def acked_before_the_group_was_set_back(script: Script, wrong: bool) -> None:
    """What it was set back to comes again; what lies below does not."""
    for offset in range(2):
        script.produced(1.0, offset)
        _acked(script, 2.0 + offset, offset + 1, offset)
    _set_back(script, 0 if wrong else 1)
    _acked(script, 6.0, 3, 1)
    acked_in_the_drain(script)


@case("acked and again")
def in_one_era_and_in_the_next(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    _acked(script, 2.0, 1, 0)
    if not wrong:
        _set_back(script, 0, was=1)
    _acked(script, 6.0, 2, 0)
    acked_in_the_drain(script)


@case("lost")
def skipped_when_the_group_was_set_forward(script: Script, wrong: bool) -> None:
    for offset in range(2):
        script.produced(1.0, offset)
    script.rewound(5.0, 5.1, {0: 0 if wrong else 1})
    _acked(script, 6.0, 1, 1)
    acked_in_the_drain(script)


@case("committed")
def skipped_before_the_group_was_set_forward(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.committed(4.9 if wrong else 5.2, {0: 1})
    script.rewound(5.0, 5.1, {0: 1})
    acked_in_the_drain(script)


@case("committed")
def acked_in_the_era_before(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    _acked(script, 2.0, 1, 0)
    _set_back(script, 0, was=1)
    script.committed(5.5, {0: 1 if wrong else 0})
    _acked(script, 6.0, 2, 0)
    acked_in_the_drain(script)


@case("delivery count")
def counted_anew_in_a_new_era(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.pull(2.0, 2.1, handed(1, 0), ack_wait=0.5)
    _acked(script, 3.0, 2, 0, 2)
    _set_back(script, 0, was=1)
    _acked(script, 6.0, 3, 0, 2 if wrong else 1)
    acked_in_the_drain(script)


@case("old lease accepted")
def of_the_era_before(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    _acked(script, 2.0, 1, 0)
    _set_back(script, 0, was=1)
    script.ack(6.0, 6.1, 1, "late" if wrong else "gone")
    acked_in_the_drain(script, 0)


@case("old lease accepted")
def of_an_era_that_certainly_is_over(script: Script, wrong: bool) -> None:
    """Set to where it stood: nothing has changed for the worker."""
    script.produced(1.0, 0)
    _acked(script, 2.0, 1, 0)
    _set_back(script, 0 if wrong else 1, was=1)
    script.ack(6.0, 6.1, 1, "already_settled")
    acked_in_the_drain(script, *([0] if wrong else []))


# The topic made anew -------------------------------------------------------------------------------------------------


@case("lost")
def of_the_log_that_was_deleted(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, body="old")
    if not wrong:
        script.remade(5.0, 6.0)
    else:
        script.produced(1.0, 1)
    script.produced(7.0, 2 if wrong else 0, body="new")
    _acked(script, 8.0, 1, 2 if wrong else 0, body="new")
    if wrong:
        _acked(script, 9.0, 2, 1)
    acked_in_the_drain(script)


@case("lost")
def acked_at_the_same_offset_in_the_log_before(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, body="old")
    script.pull(2.0, 2.1, handed(1, 0, body="old"))
    script.ack(2.2, 2.3, 1)
    script.remade(5.0, 6.0)
    script.produced(7.0, 0, body="new")
    if not wrong:
        _acked(script, 8.0, 2, 0, body="new")
    acked_in_the_drain(script)


@case("deleted log")
def handed_out_when_it_was_deleted(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, body="old")
    pull = 0 if wrong else script.pulling(2.0)
    script.remade(5.0, 6.0)
    pull = pull or script.pulling(6.5)
    script.pulled(7.0, pull, handed(1, 0, body="old"))
    acked_in_the_drain(script)


@case("old lease accepted")
def of_the_log_before(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0, body="old")
    script.pull(2.0, 2.1, handed(1, 0, body="old"))
    script.remade(5.0, 6.0)
    script.ack(7.0, 7.1, 1, "ok" if wrong else "gone")
    acked_in_the_drain(script)


@case("two owners")
def of_a_group_that_was_deleted(script: Script, wrong: bool) -> None:
    """With its topic goes a group that has no member, and the next one counts its generations from 1 again."""
    script.launched(0.0, 1, 2)
    script.owned(1.0, 1, {1: [0]})
    if not wrong:
        script.remade(5.0, 6.0)
    script.owned(7.0, 1, {2: [0]})
    acked_in_the_drain(script)


# Compaction ----------------------------------------------------------------------------------------------------------


@case("lost")
def superseded_by_a_later_one(script: Script, wrong: bool) -> None:
    script.plan(compacted=True)
    script.produced(1.0, 0, key="k")
    script.produced(1.0, 1, key="other" if wrong else "k")
    script.pull(2.0, 2.1, handed(1, 1, key="other" if wrong else "k"))
    script.ack(3.0, 3.1, 1)
    acked_in_the_drain(script)


@case("lost")
def of_a_topic_that_is_not_compacted(script: Script, wrong: bool) -> None:
    if not wrong:
        script.plan(compacted=True)
    script.produced(1.0, 0)
    script.produced(1.0, 1)
    _acked(script, 2.0, 1, 1)
    acked_in_the_drain(script)


@case("committed")
def before_it_was_superseded(script: Script, wrong: bool) -> None:
    script.plan(compacted=True)
    script.produced(1.0, 0)
    script.committed(2.0 if wrong else 3.2, {0: 1})
    script.produced(3.0, 1)
    _acked(script, 4.0, 1, 1)
    acked_in_the_drain(script)


# Tokens --------------------------------------------------------------------------------------------------------------


@case("forged lease accepted")
def that_nobody_ever_gave(script: Script, wrong: bool) -> None:
    script.forged(2.0, 2.1, "lease_lost" if wrong else "lease_unknown")
    acked_in_the_drain(script)


# Troubles ------------------------------------------------------------------------------------------------------------


@case("hung")
def cut_off_from_the_worker(script: Script, wrong: bool) -> None:
    """What was sent in vain is sent again for about as long after it."""
    script.struck(3.0, 7.0, "cut from workers" if wrong else "cut from clients", worker=1)
    script.pull(2.0, 14.0, wait=2.0)
    acked_in_the_drain(script)


@case("not handed out")
def right_after_a_cut(script: Script, wrong: bool) -> None:
    script.produced(1.0, 0)
    script.samples(0.0, 80.0)
    script.struck(10.0, 14.0, "SIGSTOP" if wrong else "cut from brokers", worker=1)
    script.pull(10.5, 20.0, client="b")
    acked_in_the_drain(script, 0)


@case("hung")
def two_troubles_at_once(script: Script, wrong: bool) -> None:
    """The end of one is not that of the other."""
    script.strike(3.0, "SIGSTOP", 1, worker=1)
    script.strike(3.5, "broker paused", 2)
    script.over(4.0, "SIGSTOP" if wrong else "broker paused", 1 if wrong else 2, worker=1)
    script.over(9.0, "broker paused" if wrong else "SIGSTOP", 2 if wrong else 1, worker=1)
    script.pull(2.0, 12.5, wait=2.0)
    acked_in_the_drain(script)
