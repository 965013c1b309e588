"""Partitions that come, stay, go and are begun anew, with a rebalance in the middle of whatever is awaited."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from fanout_app import assignment as module
from fanout_app.core.errors import LeasesLiveError, NotOwnedError, UnavailableError
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.start import Start
from fanout_app.ports import SourceError, WriteError
from unit.fake_ports import Worker, until


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr("fanout_app.assignment._BACKOFF", 0.005)
    worker = Worker()
    yield worker
    await worker.stop()


class TestRebalance:
    async def test_a_partition_that_stays_keeps_its_leases_and_is_not_started_anew(self, worker: Worker) -> None:
        await worker.own(0)
        worker.offer(0, 0, 1)
        assert worker.hand_out() == [0]
        kept = worker.dispatcher.partitions[0]
        await worker.own(0, 1)
        assert worker.dispatcher.partitions[0] is kept
        assert list(kept.in_flight) == [0]
        assert worker.kafka.called("find")[-1].what == {1}
        assert worker.hand_out("B") == [1]

    @pytest.mark.parametrize("lost", ["another member id", "a generation without us"])
    async def test_nothing_is_kept_by_who_was_out_of_the_group(self, worker: Worker, lost: str) -> None:
        """Somebody else may have settled meanwhile what would be handed out again."""
        await worker.own(0)
        worker.offer(0, 0)
        assert worker.hand_out() == [0]
        before = worker.dispatcher.partitions[0]
        if lost == "another member id":
            worker.kafka.member_id = "us, again"
            worker.rebalance(0)
        else:
            worker.rebalance(0, generation=worker.assignment.generation + 2)
        assert worker.dispatcher.partitions == {}
        await worker.assignment.start({0})
        assert worker.dispatcher.partitions[0] is not before
        assert worker.dispatcher.clients.in_flight == 0

    async def test_a_partition_that_goes_is_dropped_before_recovery(self, worker: Worker) -> None:
        await worker.own(0, 1)
        worker.rebalance(1)
        assert worker.dispatcher.partitions.keys() == {1}
        assert worker.commit.committable().keys() == {1}

    async def test_nothing_is_handed_out_between_revocation_and_start(self, worker: Worker) -> None:
        await worker.own(0)
        worker.offer(0, 0)
        worker.rebalance(0)
        assert worker.hand_out() == []
        assert not worker.assignment.moved.is_set()
        await worker.assignment.start({0})
        assert worker.assignment.moved.is_set()
        assert worker.hand_out() == [0]

    async def test_the_row_that_a_partition_begins_with_is_written_before_it_is_there(self, worker: Worker) -> None:
        write = worker.kafka.hold("write_row")
        worker.rebalance(0)
        starting = asyncio.create_task(worker.assignment.start({0}))
        await write.reached()
        assert worker.dispatcher.partitions == {}
        write.go_on()
        assert await starting
        assert worker.dispatcher.partitions.keys() == {0}

    async def test_a_start_read_from_a_row_writes_none(self, worker: Worker) -> None:
        worker.kafka.rows[0] = [LedgerSnapshot(floor=7)]
        await worker.own(0)
        assert worker.dispatcher.partitions[0].next_offset == 7
        assert not worker.kafka.called("write_row")

    async def test_a_first_row_that_fails_is_written_again(self, worker: Worker) -> None:
        worker.kafka.fail("write_row", WriteError("full"), WriteError("full"))
        await worker.own(0)
        assert len(worker.kafka.called("write_row")) == 3

    async def test_a_first_row_that_cannot_be_written_ends_the_start(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_START_WRITE_FOR", 0.0)
        worker.kafka.fail("write_row", *[WriteError("full", refused=True)] * 10)
        worker.rebalance(0)
        with pytest.raises(WriteError):
            await worker.assignment.start({0})
        assert worker.dispatcher.partitions == {}

    async def test_a_kafka_that_does_not_answer_is_waited_for(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither is the worker ended, nor left with partitions that nobody begins."""
        monkeypatch.setattr(module, "_START_WRITE_FOR", 0.0)
        worker.kafka.starts[0] = Start(LedgerSnapshot(floor=7), write=True, mark=True)
        worker.kafka.fail("commit", *[SourceError("no answer")] * 10)
        worker.kafka.fail("write_row", *[WriteError("no answer")] * 10)
        worker.rebalance(0)
        assert await worker.assignment.start({0})
        assert [len(worker.kafka.called(step)) for step in ("commit", "write_row")] == [11, 11]

    async def test_a_foreign_offset_is_replaced_before_the_row_is_written(self, worker: Worker) -> None:
        """A row of the new era without that commit would leave an offset to be taken for set once more."""
        worker.kafka.starts[0] = Start(LedgerSnapshot(era=3, floor=7, committed=7), write=True, mark=True)
        worker.kafka.fail("commit", SourceError("the coordinator moved"))
        committing = worker.kafka.hold("commit")
        worker.rebalance(0)
        starting = asyncio.create_task(worker.assignment.start({0}))
        await committing.reached()
        assert not worker.kafka.called("write_row")
        assert worker.dispatcher.partitions == {}
        committing.go_on()
        assert await starting
        assert [call.what for call in worker.kafka.called("commit")] == [(7, 3)] * 2
        assert worker.kafka.called("write_row")[0].what.era == 3
        assert worker.dispatcher.partitions[0].ledger.committed == 7

    async def test_a_start_whose_commit_is_not_taken_ends(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_START_WRITE_FOR", 0.0)
        worker.kafka.starts[0] = Start(LedgerSnapshot(floor=7), write=False, mark=True)
        worker.kafka.fail("commit", *[SourceError("not taken", refused=True)] * 10)
        worker.rebalance(0)
        with pytest.raises(SourceError):
            await worker.assignment.start({0})
        assert worker.dispatcher.partitions == {}

    @pytest.mark.parametrize("step", ["find", "commit", "write_row"])
    async def test_a_start_that_the_next_rebalance_overtakes_takes_nothing_on(self, worker: Worker, step: str) -> None:
        worker.kafka.starts[0] = Start(LedgerSnapshot(), write=True, mark=True)
        held = worker.kafka.hold(step)
        worker.rebalance(0, 1)
        starting = asyncio.create_task(worker.assignment.start({0, 1}))
        await held.reached()
        worker.rebalance(1)
        held.go_on()
        assert not await starting
        assert 0 not in worker.dispatcher.partitions
        assert not worker.assignment.moved.is_set()
        assert all(partition.suspended for partition in worker.dispatcher.partitions.values())
        assert await worker.assignment.start({1})
        assert worker.dispatcher.partitions.keys() == {1}

    async def test_a_start_that_the_whole_next_rebalance_overtakes_changes_nothing(self, worker: Worker) -> None:
        held = worker.kafka.hold("find")
        worker.rebalance(0)
        starting = asyncio.create_task(worker.assignment.start({0}))
        await held.reached()
        await worker.own(0)
        now_there = worker.dispatcher.partitions[0]
        worker.kafka.starts[0] = Start(LedgerSnapshot(era=9), write=True)
        held.go_on()
        assert not await starting
        assert len(worker.kafka.called("write_row")) == 1, "what was found before is not written any more"
        assert worker.dispatcher.partitions[0] is now_there
        assert not now_there.suspended

    async def test_a_first_row_is_not_written_again_when_its_term_is_over(self, worker: Worker) -> None:
        """The next owner may have begun with another one, and settled by it what this one knows nothing of."""
        held = worker.kafka.hold("write_row")
        worker.rebalance(0)
        starting = asyncio.create_task(worker.assignment.start({0}))
        await held.reached()
        worker.rebalance()
        held.fail(WriteError("timed out"))
        assert not await starting
        assert len(worker.kafka.called("write_row")) == 1

    async def test_what_a_start_found_is_told_and_counted(
        self, worker: Worker, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = Start(LedgerSnapshot(floor=9), write=False, lost=4, warnings=["mirrored"], errors=["4 deleted"])
        worker.kafka.starts[0] = found
        await worker.own(0)
        told = [record.levelno for record in caplog.records if record.name == "fanout.assignment"]
        assert told == [logging.WARNING, logging.ERROR]
        assert worker.dispatcher.counters.lost_to_retention == 4

    async def test_giving_up_writes_what_is_not_written_yet_and_hands_out_nothing_meanwhile(
        self, worker: Worker
    ) -> None:
        await worker.own(0, 1)
        worker.offer(0, 0)
        ledger = worker.dispatcher.partitions[0].ledger
        ledger.settle((3,))
        before = len(worker.kafka.called("write_row"))
        write = worker.kafka.hold("write_row")
        giving_up = asyncio.create_task(worker.assignment.give_up())
        await write.reached()
        assert worker.hand_out() == []
        write.go_on()
        await giving_up
        assert {call.partition for call in worker.kafka.called("write_row")[before:]} == {0}


class TestSeek:
    @pytest.fixture
    async def worker(self, worker: Worker) -> Worker:
        """Partition 0 stands at 5, of which 2 to 4 are held or waiting; partition 1 is empty."""
        worker.kafka.rows[0] = [LedgerSnapshot(floor=2, committed=2, era=1)]
        await worker.own(0, 1)
        worker.offer(0, 2, 3, 4)
        worker.kafka.sought_to = {0: 1, 1: 0}
        return worker

    async def test_it_begins_an_era_there_and_reads_on_from_there(self, worker: Worker) -> None:
        assert await worker.assignment.seek(0, 1, force=False) == {0: 1}
        partition = worker.dispatcher.partitions[0]
        assert (partition.ledger.era, partition.ledger.floor, partition.next_offset) == (2, 1, 1)
        assert len(partition.fresh) == 0
        assert not partition.suspended
        assert worker.kafka.called("seek")[-1][1:] == (0, 1)
        worker.offer(0, 1)
        assert worker.hand_out() == [1]

    async def test_its_row_is_written_before_anything_is_handed_out(self, worker: Worker) -> None:
        write = worker.kafka.hold("write_row")
        seeking = asyncio.create_task(worker.assignment.seek(0, 1, force=False))
        await write.reached()
        assert worker.kafka.called("write_row")[-1].what.era == 2
        assert 0 not in worker.dispatcher.partitions
        assert worker.hand_out() == []
        write.go_on()
        await seeking

    async def test_a_row_that_fails_is_tried_until_it_is_written(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_START_WRITE_FOR", 0.0)
        worker.kafka.fail("write_row", *[WriteError("full", refused=True)] * 7)
        await worker.assignment.seek(0, 1, force=False)
        assert worker.dispatcher.partitions[0].ledger.era == 2

    async def test_one_that_takes_long_is_answered_with_that_and_done_all_the_same(
        self, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_SEEK_ANSWERED", 0.02)
        write = worker.kafka.hold("write_row")
        with pytest.raises(UnavailableError):
            await worker.assignment.seek(0, 1, force=False)
        with pytest.raises(NotOwnedError):
            await worker.assignment.seek(0, 1, force=False)
        write.go_on()
        await until(lambda: 0 in worker.dispatcher.partitions and not worker.dispatcher.partitions[0].suspended)
        assert worker.dispatcher.partitions[0].ledger.era == 2
        await until(lambda: not worker.assignment._beginning)
        assert await worker.assignment.seek(0, 1, force=False) == {0: 1}

    async def test_who_asked_may_hang_up_and_it_is_done_all_the_same(self, worker: Worker) -> None:
        write = worker.kafka.hold("write_row")
        seeking = asyncio.create_task(worker.assignment.seek(0, 1, force=False))
        await write.reached()
        seeking.cancel()
        write.go_on()
        await until(lambda: 0 in worker.dispatcher.partitions)
        assert worker.dispatcher.partitions[0].ledger.era == 2

    async def test_held_messages_forbid_it_unless_by_force(self, worker: Worker) -> None:
        assert worker.hand_out() == [2]
        with pytest.raises(LeasesLiveError, match="1 messages"):
            await worker.assignment.seek(0, 1, force=False)
        with pytest.raises(LeasesLiveError):
            await worker.assignment.seek(None, "earliest", force=False)
        assert list(worker.dispatcher.partitions[0].in_flight) == [2]
        assert await worker.assignment.seek(1, "earliest", force=False) == {1: 0}
        assert await worker.assignment.seek(0, 1, force=True) == {0: 1}
        assert worker.dispatcher.clients.in_flight == 0

    async def test_a_message_handed_out_while_the_offset_is_looked_up_counts(self, worker: Worker) -> None:
        look_up = worker.kafka.hold("offsets_at")
        seeking = asyncio.create_task(worker.assignment.seek(0, 1, force=False))
        await look_up.reached()
        assert worker.hand_out() == [2]
        look_up.go_on()
        with pytest.raises(LeasesLiveError):
            await seeking
        assert worker.dispatcher.partitions[0].ledger.era == 1

    async def test_all_partitions_at_once(self, worker: Worker) -> None:
        assert await worker.assignment.seek(None, "earliest", force=False) == {0: 1, 1: 0}
        assert [worker.dispatcher.partitions[number].ledger.era for number in (0, 1)] == [2, 1]

    async def test_what_is_not_ours_or_moving_is_refused(self, worker: Worker) -> None:
        with pytest.raises(NotOwnedError):
            await worker.assignment.seek(7, 1, force=True)
        worker.rebalance(0, 1)
        with pytest.raises(NotOwnedError):
            await worker.assignment.seek(0, 1, force=True)
        worker.rebalance()
        await worker.assignment.start(set())
        with pytest.raises(NotOwnedError):
            await worker.assignment.seek(None, 1, force=True)

    async def test_kafka_that_does_not_know_the_offset_has_changed_nothing(self, worker: Worker) -> None:
        worker.kafka.fail("offsets_at", SourceError("timed out"))
        with pytest.raises(UnavailableError):
            await worker.assignment.seek(0, 1, force=False)
        assert worker.dispatcher.partitions[0].ledger.era == 1
        await worker.assignment.seek(0, 1, force=False)

    async def test_a_place_that_cannot_be_sought_is_found_by_the_first_fetch(self, worker: Worker) -> None:
        worker.kafka.fail("seek", SourceError("timed out"))
        await worker.assignment.seek(0, 1, force=False)
        assert not worker.dispatcher.partitions[0].suspended

    @pytest.mark.parametrize("step", ["offsets_at", "write_row"])
    async def test_a_rebalance_in_the_middle_is_told_and_the_next_start_decides(
        self, worker: Worker, step: str
    ) -> None:
        held = worker.kafka.hold(step)
        seeking = asyncio.create_task(worker.assignment.seek(0, 1, force=False))
        await held.reached()
        worker.rebalance(0, 1)
        held.go_on()
        with pytest.raises(NotOwnedError):
            await seeking
        assert await worker.assignment.start({0, 1})
        await until(lambda: not worker.assignment._beginning)
        partition = worker.dispatcher.partitions[0]
        assert (partition.ledger.era, partition.suspended) == (1 if step == "offsets_at" else 2, False)
        assert len(worker.dispatcher._turns_of_partitions) == 2

    async def test_a_rebalance_during_the_last_step_finds_it_done(self, worker: Worker) -> None:
        held = worker.kafka.hold("seek")
        seeking = asyncio.create_task(worker.assignment.seek(0, 1, force=False))
        await held.reached()
        worker.rebalance(0, 1)
        held.go_on()
        assert await seeking == {0: 1}
        assert worker.dispatcher.partitions[0].suspended, "the rebalance is not over"
        await worker.assignment.start({0, 1})
        assert worker.dispatcher.partitions[0].ledger.era == 2

    async def test_an_old_write_that_fails_after_a_rebalance_is_not_tried_again(self, worker: Worker) -> None:
        held = worker.kafka.hold("write_row")
        seeking = asyncio.create_task(worker.assignment.seek(0, 1, force=False))
        await held.reached()
        await worker.own(0, 1)
        writes = len(worker.kafka.called("write_row"))
        held.fail(WriteError("timed out"))
        with pytest.raises(NotOwnedError):
            await seeking
        assert len(worker.kafka.called("write_row")) == writes
        assert worker.dispatcher.partitions[0].ledger.era == 1


class TestBeginAgain:
    @pytest.fixture
    async def worker(self, worker: Worker) -> Worker:
        await worker.own(0, 1)
        worker.offer(0, 0, 1)
        worker.kafka.starts = {n: Start(LedgerSnapshot(era=4, floor=3), write=True) for n in (0, 1)}
        return worker

    async def test_a_log_that_is_another_one_is_started_anew(self, worker: Worker) -> None:
        await worker.assignment.begin_again({0})
        partition = worker.dispatcher.partitions[0]
        assert (partition.ledger.era, partition.next_offset, len(partition.fresh)) == (4, 3, 0)
        assert not partition.suspended
        assert worker.kafka.called("seek")[-1][1:] == (0, 3)
        assert worker.dispatcher.partitions[1].ledger.era == 0

    async def test_what_is_not_ours_is_left_alone(self, worker: Worker) -> None:
        await worker.assignment.begin_again({7})
        assert worker.dispatcher.partitions.keys() == {0, 1}

    @pytest.mark.parametrize("step", ["find", "write_row", "seek"])
    async def test_a_rebalance_in_the_middle_leaves_the_rest_to_the_next_start(self, worker: Worker, step: str) -> None:
        held = worker.kafka.hold(step)
        beginning = asyncio.create_task(worker.assignment.begin_again({0, 1}))
        await held.reached()
        worker.rebalance(0)
        held.go_on()
        await beginning
        assert worker.dispatcher.partitions.keys() <= {0}
        assert await worker.assignment.start({0})
        assert len(worker.dispatcher._turns_of_partitions) == 1
        assert not worker.dispatcher.partitions[0].suspended

    async def test_during_a_rebalance_nothing_is_begun(self, worker: Worker) -> None:
        """The ends of the logs were asked for before it, and its start looks at them itself."""
        worker.rebalance(0, 1)
        kept = worker.dispatcher.partitions[0]
        await worker.assignment.begin_again({0})
        assert worker.dispatcher.partitions[0] is kept

    async def test_one_that_is_sought_meanwhile_is_left_to_the_seek(self, worker: Worker) -> None:
        find = worker.kafka.hold("find")
        beginning = asyncio.create_task(worker.assignment.begin_again({0, 1}))
        await find.reached()
        first = worker.kafka.called("find")[-1].what
        (other,) = {0, 1} - first
        worker.kafka.sought_to = {other: 1}
        write = worker.kafka.hold("write_row")
        seeking = asyncio.create_task(worker.assignment.seek(other, 1, force=True))
        await write.reached()
        find.go_on()
        await beginning
        write.go_on()
        assert await seeking == {other: 1}
        assert worker.dispatcher.partitions[other].ledger.era == 1

    async def test_a_start_that_cannot_be_found_is_told_to_the_caller(self, worker: Worker) -> None:
        worker.kafka.fail("find", SourceError("timed out"))
        with pytest.raises(SourceError):
            await worker.assignment.begin_again({0})
        assert not worker.assignment._beginning
