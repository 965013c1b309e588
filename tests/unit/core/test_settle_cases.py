"""Each cell of the settle table, brought about by what happens to a message and not by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fanout_app.core.requests import LeaseRef, Settle, SettleOutcome, Status, Verb
from fanout_app.core.settling import TABLE, Case, case_of
from unit.core.desk import ACK_WAIT, Desk, batch, entry, lease, leases, ledger, status_of

Situation = tuple[Desk, LeaseRef | None]


def unknown() -> Situation:
    """The token did not stand the check of its MAC."""
    return Desk(), None


def not_handed_out() -> Situation:
    """The MAC covers the offsets of the answer, and this one lies among them without being one."""
    desk = Desk()
    desk.fetch(0, 2)
    return desk, leases(desk.pull("A", 2))[0]._replace(offset=3)


def count_not_handed_out() -> Situation:
    desk = Desk()
    desk.fetch(0)
    return desk, lease(desk.pull("A"))._replace(delivery_count=2)


def old_era() -> Situation:
    desk = Desk(ledger(3))
    desk.fetch(3)
    ref = lease(desk.pull("A"))
    row = desk[0].ledger
    row.begin_era(0)
    desk.queue.drop(0, desk.now)
    desk.assign(0, row.snapshot())
    return desk, ref


def old_era_while_moving() -> Situation:
    desk, ref = old_era()
    desk.queue.suspend()
    return desk, ref


def settled_above_the_floor() -> Situation:
    desk = Desk()
    desk.fetch(0, 1)
    ref = leases(desk.pull("A", 2))[1]
    desk.ack(ref)
    assert desk[0].ledger.floor == 0
    return desk, ref


def below_the_floor() -> Situation:
    desk = Desk()
    desk.fetch(0)
    ref = lease(desk.pull("A"))
    desk.ack(ref)
    return desk, ref


def settled_and_moving() -> Situation:
    desk, ref = below_the_floor()
    desk.queue.suspend()
    return desk, ref


def lost_to_retention() -> Situation:
    """Handed out by the owner before, and deleted before this one could read it."""
    desk = Desk()
    desk[0].log_start = 10
    return desk, LeaseRef(partition=0, era=0, offset=4, delivery_count=1, batch=99)


def elsewhere() -> Situation:
    desk = Desk()
    desk.fetch(0)
    ref = lease(desk.pull("A"))
    desk.queue.drop(0, desk.now)
    return desk, ref


def moving() -> Situation:
    desk = Desk()
    desk.fetch(0)
    ref = lease(desk.pull("A"))
    desk.queue.suspend()
    return desk, ref


def of_a_later_era() -> Situation:
    """Somebody else owned the partition meanwhile, and this worker does not know it yet."""
    desk = Desk()
    desk.fetch(0)
    return desk, lease(desk.pull("A"))._replace(era=1)


def live() -> Situation:
    desk = Desk()
    desk.fetch(0)
    return desk, lease(desk.pull("A"))


def ended() -> Situation:
    desk, ref = live()
    desk.pass_time(ACK_WAIT)
    return desk, ref


def ended_though_the_timer_is_late() -> Situation:
    desk, ref = live()
    desk.now = ACK_WAIT
    return desk, ref


def with_another_client() -> Situation:
    desk, ref = ended()
    desk.pull("B")
    return desk, ref


def with_another_client_while_others_of_the_answer_live() -> Situation:
    desk = Desk()
    desk.fetch(0, 1)
    ref = leases(desk.pull("A", 2))[0]
    desk.nack(ref)
    desk.pull("B")
    return desk, ref


def given_by_an_owner_before() -> Situation:
    desk = Desk()
    return desk, LeaseRef(partition=0, era=0, offset=4, delivery_count=1, batch=99)


SITUATIONS: list[tuple[Callable[[], Situation], Case]] = [
    (unknown, Case.UNKNOWN),
    (not_handed_out, Case.UNKNOWN),
    (count_not_handed_out, Case.UNKNOWN),
    (old_era, Case.OLD_ERA),
    (old_era_while_moving, Case.OLD_ERA),
    (settled_above_the_floor, Case.SETTLED),
    (below_the_floor, Case.SETTLED),
    (settled_and_moving, Case.SETTLED),
    (lost_to_retention, Case.BELOW_LOG),
    (elsewhere, Case.MOVING),
    (moving, Case.MOVING),
    (of_a_later_era, Case.MOVING),
    (live, Case.LIVE),
    (ended, Case.ENDED),
    (ended_though_the_timer_is_late, Case.ENDED),
    (with_another_client, Case.ENDED),
    (with_another_client_while_others_of_the_answer_live, Case.ENDED),
    (given_by_an_owner_before, Case.ENDED),
]

#: What `docs/api.md` says, case by case: for ack, nack, extend and reject.
SAID = {
    Case.UNKNOWN: (Status.LEASE_UNKNOWN,) * 4,
    Case.OLD_ERA: (Status.GONE,) * 4,
    Case.SETTLED: (Status.ALREADY_SETTLED,) * 4,
    Case.BELOW_LOG: (Status.GONE,) * 4,
    Case.MOVING: (Status.RETRY,) * 4,
    Case.LIVE: (Status.DONE,) * 4,
    Case.ENDED: (Status.LATE, Status.LEASE_LOST, Status.LEASE_LOST, Status.LEASE_LOST),
}


@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize(("situation", "case"), SITUATIONS, ids=lambda value: getattr(value, "__name__", ""))
def test_cell(situation: Callable[[], Situation], case: Case, verb: Verb) -> None:
    desk, ref = situation()
    assert case_of(desk.queue, ref, desk.now)[0] is case
    before = repr(desk[0]) if 0 in desk.queue.partitions else None
    outcome = desk.settle(verb, entry(ref))
    status = status_of(outcome)
    assert status is SAID[case][list(Verb).index(verb)] is TABLE[case][verb]
    done = status in (Status.DONE, Status.LATE)
    assert (outcome.acked, outcome.nacked, outcome.extended) == tuple(
        int(done and verb is one) for one in (Verb.ACK, Verb.NACK, Verb.EXTEND)
    )
    if not done and before is not None:
        assert repr(desk[0]) == before, "a refused entry must change nothing"
    waits_for = {0} if status is Status.ALREADY_SETTLED or (done and verb is Verb.ACK) else set()
    assert desk.settling.pending.keys() == waits_for


def test_every_cell_is_tested() -> None:
    assert {case for _, case in SITUATIONS} == set(Case) == set(TABLE)


def test_one_bad_entry_does_not_spoil_the_others() -> None:
    desk, ref = live()
    assert ref is not None
    outcome = desk.settle(Verb.ACK, entry(None), entry(ref), entry(ref._replace(partition=7)))
    assert outcome.acked == 1
    assert [status for _, status in outcome.results] == [Status.LEASE_UNKNOWN, Status.RETRY]


def test_a_lease_named_twice_gets_the_first() -> None:
    desk, ref = live()
    assert ref is not None
    outcome = desk.settle_all(Settle(nack=[entry(ref, delay=9.0)], reject=[entry(ref)], ack=[entry(ref), entry(ref)]))
    assert (outcome.nacked, outcome.acked, outcome.results) == (1, 0, [])
    assert desk.settling.rejects == []


def test_what_an_answer_hangs_on_is_the_row_that_holds_its_acks() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0, 1)
    desk.fetch(0, number=1)
    first, second, third = (leases(desk.pull("A"))[0] for _ in range(3))
    outcome = desk.settle(Verb.ACK, *map(entry, (first, second, third)))
    assert outcome.acked == 3
    pending = desk.settling.pending
    assert {number: (p.version, p.acked) for number, p in pending.items()} == {
        number: (desk[number].ledger.version, 2 - number) for number in (0, 1)
    }
    assert sum(len(p.tokens) for p in pending.values()) == 3


def test_a_batch_token_is_listed_once_with_what_it_hangs_on() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    desk.nack(lease(desk.pull("A")))
    answer = desk.pull("B", 2)
    assert len(answer.runs) == 2
    desk.ack(batch(answer))
    assert desk.settling.pending[0].tokens == [entry(batch(answer)).token]
    assert desk.settling.pending[0].acked == 2


def test_outcomes_of_several_owners_are_added_up() -> None:
    total = SettleOutcome(acked=1, nacked=2, extended=3, rejected=4, results=[("a", Status.LATE)])
    total.add(SettleOutcome(acked=10, nacked=20, extended=30, rejected=40, results=[("b", Status.GONE)]))
    assert (total.acked, total.nacked, total.extended, total.rejected) == (11, 22, 33, 44)
    assert total.results == [("a", Status.LATE), ("b", Status.GONE)]
