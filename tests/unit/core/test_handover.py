"""Leases that go from one owner of a partition to the next: before and after the next one has read the messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.redelivery import Backoff
from fanout_app.core.requests import Empty, LeaseRef, Pull, Settle, Status, Verb
from fanout_app.core.settling import Case, case_of
from support.messages import messages
from unit.core.desk import ACK_WAIT, Desk, batch, entry, lease, leases
from unit.core.two_owners import held, left_by, moved, run_of

Fetched = Callable[[Desk], None]


def fetched(desk: Desk) -> None:
    """The next owner has read everything before anything else happens."""
    desk.fetch(*range(desk[0].next_offset, 5))


def not_fetched(desk: Desk) -> None:
    """It has read nothing yet."""


@pytest.fixture(params=[fetched, not_fetched])
def fetch(request: pytest.FixtureRequest) -> Fetched:
    read: Fetched = request.param
    return read


def read_what_sleeps(desk: Desk) -> None:
    desk.queue.expire(desk.now)
    for number, offsets in desk.resting.to_read(100, desk.now).items():
        found = {message.offset: message for message in messages(offsets)}
        desk.resting.awake(number, desk[number].ledger.era, offsets, found, desk.now)


def test_an_ack_by_lease_is_that_of_a_live_one(fetch: Fetched) -> None:
    old, refs = held()
    new = moved(old)
    fetch(new)
    assert new.ack(*refs) == [Status.DONE] * 3
    fetched(new)
    assert leases(new.pull("B", 9)) == [LeaseRef(0, 0, 3, 1, 100), LeaseRef(0, 0, 4, 1, 100)]
    assert new[0].ledger.floor == 3
    assert new.queue.counters.late == 0
    assert new[0].bytes_held == 2


def test_what_a_client_has_is_nobody_elses(fetch: Fetched) -> None:
    old, refs = held(5)
    new = moved(old)
    fetch(new)
    fetched(new)
    new.wait("B", 9)
    assert new.serve() == []
    new.pass_time(ACK_WAIT - 0.001)
    assert new.serve() == []
    assert [case_of(new.queue, ref, new.now)[0] for ref in refs] == [Case.LIVE] * 5


def test_a_nacked_one_goes_to_another_client(fetch: Fetched) -> None:
    old, refs = held()
    new = moved(old)
    fetch(new)
    assert new.nack(refs[1]) is Status.DONE
    new.wait("A", 9)
    new.wait("B")
    read_what_sleeps(new)
    assert ("B", [1]) in new.serve()
    assert new[0].ledger.failures == {1: 1}
    assert new.ack(refs[1]) == [Status.LATE]


def test_the_delay_of_a_nack_is_kept(fetch: Fetched) -> None:
    old, refs = held(5)
    new = moved(old)
    fetch(new)
    assert new.nack(refs[0], 5.0) is Status.DONE
    fetched(new)
    new.wait("B")
    new.pass_time(4.999)
    read_what_sleeps(new)
    assert new.serve() == []
    new.pass_time(0.001)
    read_what_sleeps(new)
    assert new.serve() == [("B", [0])]


def test_an_extended_one_lives_on(fetch: Fetched) -> None:
    old, refs = held()
    new = moved(old)
    fetch(new)
    new.settle(Verb.EXTEND, entry(refs[0], ack_wait=100.0))
    new.pass_time(99.0)
    assert [case_of(new.queue, ref, new.now)[0] for ref in refs] == [Case.LIVE, Case.ENDED, Case.ENDED]
    new.pass_time(1.0)
    assert case_of(new.queue, refs[0], new.now)[0] is Case.ENDED


def test_a_rejected_one_stays_with_its_client_until_it_is_put_away(fetch: Fetched) -> None:
    old, refs = held()
    new = moved(old)
    fetch(new)
    new.settle(Verb.REJECT, entry(refs[2]))
    ((rejected, run),) = new.settling.rejects
    assert run.handed_over
    new.settling.rejected(rejected, run, 2)
    assert new[0].ledger.is_settled(2)
    assert len(new[0].in_flight) == 2


def test_a_lease_ends_when_the_time_left_is_over_by_the_new_owners_clock(fetch: Fetched) -> None:
    old, refs = held()
    old.now += ACK_WAIT - 2.0
    new = moved(old)
    fetch(new)
    new.pass_time(1.999)
    assert len(new[0].in_flight) == 3
    new.pass_time(0.001)
    assert not new[0].in_flight
    read_what_sleeps(new)
    new.wait("B", 9)
    fetched(new)
    assert new.serve() == [("B", [0, 1, 2, 3, 4])]
    assert new[0].ledger.failures == {0: 1, 1: 1, 2: 1}
    assert new.queue.clients["A"].expired == 3
    assert new.ack(refs[0]) == [Status.LATE]


def test_who_failed_one_waits_for_others_before_he_has_it_again(fetch: Fetched) -> None:
    old, _ = held()
    new = moved(old)
    fetch(new)
    new.pass_time(ACK_WAIT)
    read_what_sleeps(new)
    fetched(new)
    # Nobody else is there: A has the rest at once, and what it has failed after a second.
    assert [ref.offset for ref in leases(new.pull("A", 9))] == [3, 4]
    new.wait("A", 9)
    assert new.serve() == []
    new.pass_time(new.queue.limits.other_client_wait)
    assert new.serve() == [("A", [0, 1, 2])]


def test_an_ended_one_that_was_never_fetched_is_read_without_waiting_for_the_fetches() -> None:
    old, _ = held()
    new = moved(old)
    new.wait("B", 9)
    new.pass_time(ACK_WAIT)
    read_what_sleeps(new)
    assert new.serve() == [("B", [0, 1, 2])]
    fetched(new)
    new.wait("B", 9)
    assert new.serve() == [("B", [3, 4])]


def test_the_batch_token_is_forgotten() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    answer = desk.pull("A", 2)
    new = moved(desk)
    assert new.ack(batch(answer)) == [Status.LEASE_LOST]
    assert new.ack(*leases(answer)) == [Status.DONE, Status.DONE]


def test_an_answer_that_lives_on_elsewhere_has_no_part_in_what_came_back() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0)
    desk.fetch(0, number=1)
    answer = desk.pull("A", 2)
    snapshot, _ = desk.queue.last_snapshot(1, desk.now)
    desk.queue.drop(1, desk.now)
    desk.assign(1, snapshot)
    desk.queue.take_over(1, snapshot.handed_over, desk.now)
    desk.queue.resume(1)
    outcome = desk.settle(Verb.ACK, entry(batch(answer)))
    assert (outcome.acked, [status for _, status in outcome.results]) == (1, [Status.NOT_IN_BATCH])
    assert desk.ack(LeaseRef(1, 0, 0, 1, answer.batch)) == [Status.DONE]
    assert desk.queue.answers == {}


def test_the_client_counts_what_it_has_from_others_and_keeps_its_name() -> None:
    desk = Desk(limits=Limits(client_limit=3))
    desk.fetch(0, 1, 2, 3, 4)
    refs = leases(desk.pull("A", 3))
    new = moved(desk)
    fetched(new)
    number = new.wait("A")
    assert new.serve() == []
    assert new.queue.why_empty(Pull(client="A"), new.now) is Empty.CLIENT_LIMIT
    new.ack(refs[0])
    assert new.serve() == [("A", [3])]
    new.queue.cancel_pull(number, new.now)


def test_one_that_is_long_gone_and_has_a_lease_of_another_owner_begins_anew() -> None:
    desk = Desk()
    desk.assign(1)
    desk.fetch(0, number=1)
    desk.ack(*leases(desk.pull("A")))
    desk.now += desk.queue.limits.client_ttl  # and nobody has looked who is still there
    desk.queue.take_over(0, [run_of(0)], desk.now)
    client = desk.queue.clients["A"]
    assert (client.delivered, client.acked, client.in_flight) == (0, 0, 1)


def test_a_client_without_a_name_lives_for_its_leases_only() -> None:
    desk = Desk()
    desk.fetch(0)
    desk.wait("made-up", anonymous=True)
    desk.serve()
    new = moved(desk)
    assert new.queue.clients.someone_alive(new.now)
    new.pass_time(ACK_WAIT)
    assert not new.queue.clients.someone_alive(new.now)
    new.pass_time(2 * new.queue.limits.client_ttl)
    assert len(new.queue.clients) == 0


def test_a_client_that_leaves_frees_what_it_has_from_others(fetch: Fetched) -> None:
    old, _ = held()
    new = moved(old)
    fetch(new)
    assert new.queue.leave("A", new.now) == []
    assert new.queue.counters.released == 3
    fetched(new)
    new.wait("A", 9)
    read_what_sleeps(new)
    assert new.serve() == [("A", [0, 1, 2, 3, 4])]
    assert new[0].ledger.failures == {}


def test_retention_does_not_take_what_a_client_has() -> None:
    old, refs = held()
    new = moved(old)
    assert new.queue.log_starts_at(0, 4) == 1  # offset 3; the others are with A
    assert new.ack(refs[0], refs[1]) == [Status.DONE, Status.DONE]
    new.pass_time(ACK_WAIT)
    ((number, offsets),) = new.resting.to_read(9, new.now).items()
    assert new.resting.awake(number, 0, offsets, {}, new.now) == 1
    assert new[0].ledger.floor == 4
    assert new.queue.counters.lost_to_retention == 2


def test_what_was_compacted_away_is_with_its_client_still() -> None:
    old, refs = held()
    new = moved(old)
    new.fetch(0, 4)  # 1, 2 and 3 exist no more
    assert new[0].ledger.floor == 0
    assert new.ack(*refs) == [Status.DONE] * 3
    assert new[0].ledger.floor == 4


def test_one_that_cannot_be_read_before_the_fetches_reach_it_is_left_to_them() -> None:
    """The log may be shorter than it was, or its leader lag: only a fetch that passes it tells."""
    old, _ = held(1)
    new = moved(old)
    new.pass_time(ACK_WAIT)
    ((number, offsets),) = new.resting.to_read(9, new.now).items()
    assert new.resting.awake(number, 0, offsets, {}, new.now) == 0
    assert not new[0].ledger.is_settled(0)
    fetched(new)
    new.wait("B", 9)
    assert new.serve() == [("B", [0, 1, 2, 3, 4])]


def test_one_that_has_used_up_its_deliveries_is_put_away_once_it_is_read(fetch: Fetched) -> None:
    old, _ = held(limits=Limits(max_deliver=1))
    new = moved(old)
    fetch(new)
    new.pass_time(ACK_WAIT)
    assert new.resting.spent() == []
    read_what_sleeps(new)
    assert [(spent.message.offset, spent.reason, spent.client) for spent in new.resting.spent()] == [
        (offset, "lease expired", "A") for offset in (0, 1, 2)
    ]
    new.wait("B", 9)
    fetched(new)
    assert new.serve() == [("B", [3, 4])]
    assert all(map(new.resting.put_away, new.resting.spent()))
    assert new[0].ledger.floor == 3


def test_leases_go_on_to_the_owner_after_next() -> None:
    old, refs = held()
    old.now += 10.0
    new = moved(old)
    new.now += 5.0
    next_but_one = moved(new)
    assert next_but_one.ack(refs[0]) == [Status.DONE]
    next_but_one.pass_time(ACK_WAIT - 15.0)
    assert not next_but_one[0].in_flight
    (age,) = {run.age for run in left_by(new)}
    assert age == 15.0


def test_a_seek_ends_them() -> None:
    desk, refs = held()
    snapshot, _ = desk.queue.last_snapshot(0, desk.now)
    new = Desk(snapshot)
    new.queue.take_over(0, snapshot.handed_over, new.now)
    ledger = new[0].ledger
    new.queue.drop(0, new.now)
    ledger.begin_era(0)
    new.assign(0, ledger.snapshot())
    assert new.queue.clients.in_flight == 0
    assert new.ack(*refs) == [Status.GONE] * 3
    fetched(new)
    new.wait("B", 9)
    assert new.serve() == [("B", [0, 1, 2, 3, 4])]


@pytest.mark.parametrize("delay", [5.0, 50.0], ids=["in memory", "asleep"])
def test_the_delay_of_what_nobody_has_is_kept(delay: float, fetch: Fetched) -> None:
    old, refs = held(limits=Limits(backoff=Backoff(first=0.0)))
    old.nack(refs[1], delay)
    old.now += 1.0
    new = moved(old)
    fetch(new)
    new.ack(refs[0], refs[2])
    fetched(new)
    new.ack(*leases(new.pull("B", 9)))
    assert new[0].ledger.floor == 1
    new.wait("B")
    new.pass_time(delay - 1.001)
    read_what_sleeps(new)
    assert new.serve() == []
    new.pass_time(0.001)
    read_what_sleeps(new)
    assert new.serve() == [("B", [1])]


def test_an_ack_of_what_rests_is_late_and_counts(fetch: Fetched) -> None:
    old, refs = held()
    old.nack(refs[1], 50.0)
    new = moved(old)
    fetch(new)
    assert new.ack(refs[1]) == [Status.LATE]
    assert new[0].ledger.is_settled(1)
    assert not new[0].sleepers


def test_a_lease_whose_message_has_failed_since_is_not_taken_over() -> None:
    """A row of long ago that counts by mistake."""
    old, refs = held()
    snapshot, _ = old.queue.last_snapshot(0, old.now)
    new = Desk(LedgerSnapshot(failures={1: 1}))
    assert new.queue.take_over(0, snapshot.handed_over, 0.0) == 2
    assert new.ack(*refs) == [Status.DONE, Status.LATE, Status.DONE]


def test_what_is_settled_is_not_taken_over() -> None:
    old, _ = held()
    snapshot, _ = old.queue.last_snapshot(0, old.now)
    new = Desk(LedgerSnapshot(floor=1, settled=frozenset((2,))))
    assert new.queue.take_over(0, snapshot.handed_over, 0.0) == 1
    assert list(new[0].in_flight) == [1]


@pytest.mark.parametrize("leased", [True, False], ids=["leased", "resting"])
def test_of_one_that_is_settled_as_a_whole_nothing_is_taken_over(leased: bool) -> None:
    new = Desk(LedgerSnapshot(floor=1))
    assert new.queue.take_over(0, [run_of(0, leased=leased)], 0.0) == 0
    assert (new[0].held, len(new[0].sleepers), new.queue.clients.get("A")) == (0, 0, None)
    assert new.queue.next_deadline() is None


def test_settles_of_one_body_in_their_order(fetch: Fetched) -> None:
    old, refs = held(5)
    new = moved(old)
    fetch(new)
    outcome = new.settle_all(
        Settle(
            extend=[entry(refs[0])],
            nack=[entry(refs[1], delay=0.0)],
            reject=[entry(refs[2])],
            ack=list(map(entry, refs)),
        )
    )
    assert (outcome.extended, outcome.nacked, outcome.acked) == (1, 1, 2)
    assert outcome.results == []
    assert sorted(new[0].in_flight) == [0, 2]


def test_who_holds_a_single_lease_is_known_by_its_token() -> None:
    desk = Desk()
    desk.fetch(0)
    ref = lease(desk.pull("A"))
    new = moved(desk)
    case, run = case_of(new.queue, ref, new.now)
    assert case is Case.LIVE
    assert run is not None
    assert (run.client, run.group, run.deadline) == ("A", "stable", new.now + ACK_WAIT)
    assert case_of(new.queue, ref._replace(batch=ref.batch + 1), new.now)[0] is Case.ENDED
