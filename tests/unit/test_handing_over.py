"""Last rows: what an owner leaves in the changelog when it gives partitions up, and what the next one does with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from time import monotonic

import pytest

from fanout_app import overview
from fanout_app.core.dispatcher import Limits
from fanout_app.core.requests import Entry, LeaseRef, Settle, Status, Verb
from fanout_app.core.settling import Settling
from fanout_app.ports import WriteError
from unit.fake_ports import Worker, until


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker(Limits(max_row_bytes=10_000))
    yield worker
    await worker.stop()


@pytest.fixture
async def another(worker: Worker) -> AsyncIterator[Worker]:
    """Another worker, over the same changelog."""
    another = Worker()
    another.kafka.rows = worker.kafka.rows
    yield another
    await another.stop()


def handed_over(worker: Worker, number: int = 0) -> list[tuple[int, int]]:
    """First offset and length of the runs in the latest row."""
    return [(run.first, run.span) for run in worker.kafka.rows[number][-1].handed_over]


def ack(worker: Worker, *refs: LeaseRef) -> list[Status]:
    entries = [Entry(token=str(ref), ref=ref) for ref in refs]
    outcome = Settling(worker.dispatcher, monotonic()).run(Settle(ack=entries))
    return [status for _, status in outcome.results]


async def revoke(worker: Worker) -> None:
    worker.terms.begin_rebalance()
    await worker.assignment.give_up()


async def test_the_next_owner_holds_back_what_clients_have(worker: Worker, another: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1, 2)
    assert worker.hand_out("A", 2) == [0, 1]
    await revoke(worker)
    assert handed_over(worker) == [(0, 2)]
    await another.own(0)
    another.offer(0, 0, 1, 2)
    assert another.hand_out("B", 9) == [2]
    assert ack(another, LeaseRef(0, 0, 0, 1, 1), LeaseRef(0, 0, 1, 1, 1)) == []
    assert another.dispatcher.partitions[0].ledger.floor == 2


async def test_the_age_of_what_is_handed_over_is_known_once_a_fetch_has_passed_it(
    worker: Worker, another: Worker
) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A", 2)
    await revoke(worker)
    await another.own(0)
    assert overview.partitions(another.dispatcher, "w")[0]["oldest_age_seconds"] is None
    another.offer(0, 0, 1)
    assert overview.partitions(another.dispatcher, "w")[0]["oldest_age_seconds"] > 0


async def test_a_partition_that_stays_goes_on_from_memory_and_its_last_row_counts_no_more(
    worker: Worker, another: Worker
) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    assert worker.hand_out("A", 2) == [0, 1]
    await revoke(worker)
    await worker.own(0)
    assert list(worker.dispatcher.partitions[0].in_flight) == [0, 1]
    assert not any(run.handed_over for run in worker.dispatcher.partitions[0].in_flight.values())
    assert ack(worker, LeaseRef(0, 0, 1, 1, 1)) == []
    assert await worker.commit.written(0, worker.dispatcher.partitions[0].ledger.version, 5.0)
    # Killed here: what it had handed out comes again at once.
    await another.own(0)
    another.offer(0, 0, 1)
    assert another.hand_out("B", 9) == [0]


async def test_what_was_changed_and_not_written_yet_is_in_it_too(worker: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1, 2)
    worker.hand_out("A", 2)
    ack(worker, LeaseRef(0, 0, 0, 1, 1))
    await revoke(worker)
    assert handed_over(worker) == [(1, 1)]
    assert worker.kafka.rows[0][-1].floor == 1


async def test_nothing_is_written_for_a_partition_that_has_nothing_to_tell(worker: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0)
    before = len(worker.kafka.rows[0])
    await revoke(worker)
    assert len(worker.kafka.rows[0]) == before


async def test_it_comes_after_the_row_that_is_under_way(worker: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A", 2)
    write = worker.kafka.hold("write_row")
    ack(worker, LeaseRef(0, 0, 0, 1, 1))
    worker.commit.kick()
    await write.reached()
    last = asyncio.create_task(revoke(worker))
    await asyncio.sleep(0.01)
    assert len(worker.kafka.called("write_row")) == 2, "the first one of the partition, and that which is under way"
    write.go_on()
    await last
    assert handed_over(worker) == [(1, 1)]


async def test_who_was_away_for_too_long_hands_nothing_over_but_what_is_settled(worker: Worker) -> None:
    """Others own the partition by now, and may have handed the same messages out again."""
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A", 2)
    ack(worker, LeaseRef(0, 0, 0, 1, 1))
    worker.terms.confirmed = False
    await revoke(worker)
    assert handed_over(worker) == []
    assert worker.kafka.rows[0][-1].floor == 1


async def test_after_the_last_row_nothing_is_handed_out_or_settled(worker: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A")
    write = worker.kafka.hold("write_row")
    leaving = asyncio.create_task(worker.assignment.give_up())
    await write.reached()
    assert ack(worker, LeaseRef(0, 0, 0, 1, 1)) == [Status.RETRY]
    assert worker.hand_out("B") == []
    write.go_on()
    await leaving
    assert handed_over(worker) == [(0, 1)]


async def test_a_row_that_is_not_taken_is_told_once(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    await worker.own(0)
    worker.offer(0, 0)
    worker.hand_out("A")
    worker.kafka.fail("write_row", WriteError("no broker"))
    with caplog.at_level(logging.WARNING):
        await revoke(worker)
    assert [record.getMessage() for record in caplog.records] == [
        "1 of 1 last rows were not written: some messages that are acked, or with a client, may come again"
    ]


async def test_what_does_not_fit_is_told_in_one_line(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    await worker.own(0)
    worker.offer(0, *range(500))
    for number in range(500):
        worker.hand_out(f"client {number}")
    with caplog.at_level(logging.WARNING):
        await revoke(worker)
    assert 0 < len(handed_over(worker)) < 500
    (record,) = caplog.records
    assert "do not fit into the last rows (--max-row-bytes)" in record.getMessage()


async def test_a_partition_begun_anew_by_a_seek_hands_nothing_over(worker: Worker, another: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A", 2)
    await revoke(worker)
    await another.own(0)
    await another.assignment.seek(0, "earliest", force=True)
    await until(lambda: another.dispatcher.partitions[0].ledger.era == 1)
    another.offer(0, 0, 1)
    assert another.hand_out("B", 9) == [0, 1]
    assert ack(another, LeaseRef(0, 0, 0, 1, 1)) == [Status.GONE]


async def test_a_seek_is_refused_while_clients_of_the_last_owner_have_messages(worker: Worker, another: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A", 2)
    await revoke(worker)
    await another.own(0)
    with pytest.raises(Exception, match="2 messages are held by clients"):
        await another.assignment.seek(0, "earliest", force=False)


@pytest.mark.parametrize("verb", [Verb.NACK, Verb.EXTEND])
async def test_other_verbs_find_the_lease_alive(verb: Verb, worker: Worker, another: Worker) -> None:
    await worker.own(0)
    worker.offer(0, 0, 1)
    worker.hand_out("A", 2)
    await revoke(worker)
    await another.own(0)
    entry = Entry(token="one", ref=LeaseRef(0, 0, 0, 1, 1))
    outcome = Settling(another.dispatcher, monotonic()).run(Settle(**{verb.value: [entry]}))  # type: ignore[arg-type]
    assert (outcome.nacked + outcome.extended, outcome.results) == (1, [])
