"""Pulls and settles of one worker, with clients that hang up and rebalances at the worst of times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fanout_app import pulls
from fanout_app import runtime as module
from fanout_app.cluster.ports import Rendered
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.dispatcher import Limits
from fanout_app.core.errors import UnavailableError
from fanout_app.core.lease import Answer
from fanout_app.core.requests import BatchRef, Empty, Entry, LeaseRef, Pull, Settle, SettleOutcome, Status
from fanout_app.core.settling import Case
from fanout_app.options import from_environment
from fanout_app.ports import SourceError, WriteError
from fanout_app.runtime import Runtime
from unit.fake_ports import LONG, FakeKafka, FakeTerms, fetch, until


class Scene:
    """A runtime that owns partitions 0 and 1, which are empty."""

    def __init__(self, limits: Limits) -> None:
        self.kafka = FakeKafka()
        self.terms = FakeTerms()
        self.faults: list[BaseException] = []
        self.runtime = Runtime(from_environment(), worker="w", limits=limits)
        self.runtime.connect(
            source=self.kafka,
            starts=self.kafka,
            terms=self.terms,
            store=self.kafka,
            bodies=self.kafka,
            dead_letters=self.kafka,
            switch=self.kafka,
            render=lambda answer, wish: Rendered((), b""),
            on_fault=self.faults.append,
        )

    async def own(self, *numbers: int) -> None:
        self.rebalance(*numbers)
        await self.runtime.start(set(numbers))

    def rebalance(self, *numbers: int) -> None:
        self.terms.begin_rebalance()
        self.runtime.suspend()
        self.runtime.assigned(set(numbers), self.runtime.generation + 1)

    async def arrive(self, *offsets: int, number: int = 0) -> None:
        await self.runtime.take(fetch(number, self.runtime.dispatcher.partitions[number].next_offset, *offsets))

    def pulling(
        self, client: str = "A", count: int = 1, *, wait: float = LONG
    ) -> asyncio.Task[Answer | Relayed | Empty]:
        return asyncio.create_task(self.runtime.pull(Pull(client=client, max_messages=count), wait=wait))

    async def pull(self, client: str = "A", count: int = 1, *, wait: float = LONG) -> list[int]:
        """The offsets that it gets, which must be some."""
        return offsets(await self.answer(client, count, wait=wait))

    async def answer(self, client: str = "A", count: int = 1, *, wait: float = LONG) -> Answer:
        answer = await self.pulling(client, count, wait=wait)
        assert isinstance(answer, Answer)
        return answer

    async def taken_over(self, *offsets: int) -> Answer:
        """Messages that an earlier owner has handed out to A, and that are with A still."""
        await self.arrive(*offsets)
        answer = await self.answer("A", len(offsets))
        self.terms.begin_rebalance()
        await self.runtime.give_up()
        self.rebalance()
        await self.runtime.start(set())
        await self.own(0)
        return answer

    def settling(self, **lists: list[Entry]) -> asyncio.Task[SettleOutcome]:
        return asyncio.create_task(self.runtime.settle(Settle(**lists)))  # type: ignore[arg-type]

    async def stop(self) -> None:
        await self.runtime.stop()
        assert self.faults == []


def offsets(answer: Answer | Relayed | Empty) -> list[int]:
    assert isinstance(answer, Answer)
    return [message.offset for run in answer.runs for message in run.messages]


def entries(answer: Answer, **more: float | str) -> list[Entry]:
    return [
        Entry(
            token=f"{run.partition}/{message.offset}",
            ref=LeaseRef(run.partition, run.era, message.offset, run.delivery_count, run.batch),
            **more,  # type: ignore[arg-type]
        )
        for run in answer.runs
        for message in run.messages
    ]


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setenv("FANOUT_ID", "a")
    monkeypatch.setenv("FANOUT_TOPIC", "t")
    monkeypatch.setenv("FANOUT_DRAIN", "1ms")
    monkeypatch.setattr(pulls, "_OWNERSHIP_RECHECK", 0.005)
    scene = Scene(Limits(client_limit=3, max_deliver=2, long_delay=0.05))
    await scene.own(0, 1)
    yield scene
    await scene.stop()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A settle does not wait for seconds, for what does not come."""
    monkeypatch.setattr("fanout_app.settles.MOVING", 0.05)


class TestPull:
    async def test_one_that_waits_is_answered_by_what_arrives(self, scene: Scene) -> None:
        pulling = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        await scene.arrive(0)
        assert offsets(await pulling) == [0]
        assert len(scene.runtime._pulls) == 0

    async def test_one_that_does_not_wait_is_answered_at_once(self, scene: Scene) -> None:
        assert await scene.pulling(wait=0) is Empty.NO_MESSAGE
        await scene.arrive(0)
        assert await scene.pull(wait=0) == [0]

    async def test_one_that_waits_in_vain_is_told_why(self, scene: Scene) -> None:
        assert await scene.pulling(wait=0.01) is Empty.NO_MESSAGE
        await scene.arrive(0, 1, 2, 3)
        await scene.pull(count=5)
        assert await scene.pulling(wait=0.01) is Empty.CLIENT_LIMIT
        scene.rebalance(0, 1)
        assert await scene.pulling("B", wait=0.01) is Empty.MOVING
        scene.runtime.dispatcher.paused = True
        assert await scene.pulling("B", wait=0.01) is Empty.PAUSED

    async def test_who_hangs_up_is_handed_nothing(self, scene: Scene) -> None:
        pulling = scene.pulling("A")
        await until(lambda: len(scene.runtime._pulls))
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
        await scene.arrive(0)
        assert len(scene.runtime._pulls) == 0
        assert await scene.pull("B") == [0]

    async def test_what_was_meant_for_one_that_hung_up_in_this_moment_goes_to_who_waits_beside_it(
        self, scene: Scene
    ) -> None:
        gone, other = scene.pulling("A"), scene.pulling("B")
        await until(lambda: len(scene.runtime._pulls) == 2)
        gone.cancel()  # and before its task gets to know of that:
        await scene.arrive(0)
        async with asyncio.timeout(LONG / 2):
            assert offsets(await other) == [0]
        assert scene.runtime.dispatcher.partitions[0].ledger.failures == {}

    async def test_what_was_handed_to_one_that_hung_up_before_it_read_it_goes_to_the_next(self, scene: Scene) -> None:
        gone = scene.pulling("A")
        await until(lambda: len(scene.runtime._pulls))
        await scene.arrive(0)  # its future is done, its task has not run
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert scene.runtime.dispatcher.clients.in_flight == 0
        answer = await scene.answer("B")
        assert answer.runs[0].delivery_count == 1

    async def test_an_answer_that_could_not_be_written_goes_to_who_waits(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer("A")
        waiting = scene.pulling("B")
        await until(lambda: len(scene.runtime._pulls))
        scene.runtime.release(answer)
        assert offsets(await waiting) == [0]
        scene.runtime.release(answer)
        assert scene.runtime.dispatcher.clients.in_flight == 1, "what is over cannot be released again"

    async def test_nothing_is_handed_out_without_a_recent_answer_of_the_coordinator(self, scene: Scene) -> None:
        scene.terms.confirmed = False
        await scene.arrive(0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert scene.runtime.status()["degraded"] == ["no recent answer from the group's coordinator"]
        scene.terms.confirmed = True
        assert offsets(await waiting) == [0], "it is looked at again though nothing happens"

    async def test_one_rides_a_rebalance_out(self, scene: Scene) -> None:
        await scene.arrive(0)
        scene.rebalance(0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        assert not waiting.done()
        assert scene.runtime.status()["degraded"] == ["rebalancing"]
        await scene.runtime.start({0})
        assert offsets(await waiting) == [0]

    async def test_who_leaves_is_sent_home_and_what_it_held_goes_to_others(self, scene: Scene) -> None:
        await scene.arrive(0)
        await scene.answer("A")
        home, other = scene.pulling("A"), scene.pulling("B")
        await until(lambda: len(scene.runtime._pulls) == 2)
        assert scene.runtime.leave("A")
        assert await home is Empty.NO_MESSAGE
        assert offsets(await other) == [0]
        assert not scene.runtime.leave("A")

    async def test_while_stopping_nobody_waits(self, scene: Scene) -> None:
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        assert scene.runtime.ready
        assert scene.runtime.stop_begins()
        scene.runtime.send_home()
        assert await waiting is Empty.NO_MESSAGE
        assert await scene.pulling() is Empty.NO_MESSAGE
        assert not scene.runtime.ready
        await scene.own(0, 1)
        assert not scene.runtime.ready, "a rebalance does not make one ready that stops"


class TestTime:
    async def test_a_lease_that_ends_wakes_who_waits(self, scene: Scene) -> None:
        await scene.arrive(0)
        await scene.runtime.pull(Pull(client="A", ack_wait=0.05), wait=0)
        assert await scene.pull("B") == [0]

    async def test_what_is_nacked_for_long_sleeps_and_comes_back(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer("A")
        await scene.settling(nack=entries(answer, delay=0.1))
        assert list(scene.runtime.dispatcher.partitions[0].sleepers) == [0]
        assert await scene.pull("B") == [0]
        assert [call.what for call in scene.kafka.called("read")] == [[0]]

    async def test_what_an_earlier_owner_handed_out_comes_back_before_it_was_ever_fetched(self, scene: Scene) -> None:
        answer = await scene.taken_over(0, 1)
        assert (await scene.settling(nack=entries(answer, delay=0.0)[:1])).nacked == 1
        assert await scene.pull("B") == [0]
        assert scene.runtime.leave("A")
        assert await scene.pull("B") == [1]

    async def test_what_failed_too_often_with_clients_of_two_owners_is_put_away(self, scene: Scene) -> None:
        scene.runtime.dispatcher.partitions[0].ledger.failed(0)
        answer = await scene.taken_over(0)
        await scene.settling(nack=entries(answer, delay=0.0, reason="too bad"))
        waiting = scene.pulling("B")
        await until(lambda: scene.kafka.put_away == [(0, 0)])
        assert scene.kafka.called("put")[-1].what == (0, 2, "too bad", "A")
        waiting.cancel()

    async def test_what_has_failed_too_often_is_put_away_and_settled(self, scene: Scene) -> None:
        await scene.arrive(0)
        for client in "AB":
            await scene.runtime.pull(Pull(client=client, ack_wait=0.02), wait=LONG)
        await until(lambda: scene.kafka.put_away == [(0, 0)])
        await until(lambda: scene.runtime.commit.committable()[0] == 1)

    async def test_what_had_failed_too_often_elsewhere_is_put_away_when_it_is_fetched(self, scene: Scene) -> None:
        scene.runtime.dispatcher.partitions[0].ledger.failed(0)
        scene.runtime.dispatcher.partitions[0].ledger.failed(0)
        await scene.arrive(0, 1)
        await until(lambda: scene.kafka.put_away == [(0, 0)])
        assert await scene.pull(count=2) == [1]


class TestSettle:
    async def test_it_is_answered_when_the_changelog_has_it(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        write = scene.kafka.hold("write_row")
        settling = scene.settling(ack=entries(answer))
        await write.reached()
        assert not settling.done()
        assert scene.runtime.committable() == {0: 0, 1: 0}
        write.go_on()
        outcome = await settling
        assert (outcome.acked, outcome.results) == (1, [])
        assert scene.runtime.committable() == {0: 1, 1: 0}
        scene.runtime.committed({0: 1, 1: 0, 7: 5})
        assert scene.runtime.committable() == {}

    async def test_not_durable_is_answered_before_and_written_all_the_same(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        write = scene.kafka.hold("write_row")
        outcome = await scene.runtime.settle(Settle(ack=entries(answer), durable=False))
        assert outcome.acked == 1
        await write.reached()
        write.go_on()
        await until(lambda: scene.runtime.commit.committable()[0] == 1)

    @pytest.mark.usefixtures("impatient")
    async def test_an_ack_that_the_changelog_does_not_take_is_to_be_sent_again(self, scene: Scene) -> None:
        await scene.arrive(0)
        await scene.arrive(0, number=1)
        answer = await scene.answer(count=2)
        scene.kafka.hold("write_row")
        outcome = await scene.settling(ack=[*entries(answer), Entry(token="forged", ref=None)])
        assert outcome.acked == 1
        retried = [token for token, status in outcome.results if status is Status.RETRY]
        assert len(retried) == 1
        assert ("forged", Status.LEASE_UNKNOWN) in outcome.results

    async def test_an_ack_whose_partition_goes_while_it_is_written_is_to_be_sent_again(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        write = scene.kafka.hold("write_row")
        settling = scene.settling(ack=entries(answer))
        await write.reached()
        scene.rebalance(1)
        write.go_on()
        outcome = await settling
        assert (outcome.acked, outcome.results) == (0, [("0/0", Status.RETRY)])

    @pytest.mark.usefixtures("impatient")
    async def test_a_batch_that_the_changelog_does_not_take_says_so_of_its_token(self, scene: Scene) -> None:
        await scene.arrive(0, 1)
        answer = await scene.answer(count=2)
        scene.kafka.fail("write_row", *[WriteError("full")] * 50)
        outcome = await scene.settling(ack=[Entry(token="batch", ref=BatchRef(0, answer.batch))])
        assert (outcome.acked, outcome.results) == (0, [("batch", Status.RETRY)])

    async def test_one_sent_during_a_rebalance_waits_for_its_end(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        scene.rebalance(0)
        settling = scene.settling(ack=entries(answer))
        await asyncio.sleep(0)
        assert not settling.done()
        await scene.runtime.start({0})
        assert (await settling).acked == 1

    @pytest.mark.usefixtures("impatient")
    async def test_a_rebalance_that_takes_too_long_is_answered_with_retry(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        scene.rebalance(0)
        outcome = await scene.settling(ack=entries(answer))
        assert (outcome.acked, outcome.results) == (0, [("0/0", Status.RETRY)])

    async def test_one_that_names_nothing_of_ours_waits_for_no_rebalance(self, scene: Scene) -> None:
        scene.rebalance(0)
        async with asyncio.timeout(0.05 / 2):
            outcome = await scene.settling(ack=[Entry(token="forged", ref=None)])
        assert outcome.results == [("forged", Status.LEASE_UNKNOWN)]

    async def test_when_the_group_has_been_left_it_is_retry_at_once(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        scene.runtime.left_group(forget=True)
        async with asyncio.timeout(0.05 / 2):
            outcome = await scene.settling(ack=entries(answer))
        assert outcome.results == [("0/0", Status.RETRY)]

    async def test_who_hangs_up_has_settled_all_the_same(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        write = scene.kafka.hold("write_row")
        settling = scene.settling(ack=entries(answer))
        await write.reached()
        settling.cancel()
        write.go_on()
        await until(lambda: scene.runtime.commit.committable()[0] == 1)

    async def test_an_ack_makes_room_for_more(self, scene: Scene) -> None:
        await scene.arrive(0, 1, 2, 3)
        answer = await scene.answer(count=3)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        await scene.settling(ack=entries(answer)[:1])
        assert offsets(await waiting) == [3]

    async def test_the_state_of_a_lease_can_be_asked_for(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        (entry,) = entries(answer)
        assert isinstance(entry.ref, LeaseRef)
        assert scene.runtime.lease_state(entry.ref)[0] is Case.LIVE
        await scene.settling(ack=[entry])
        assert scene.runtime.lease_state(entry.ref)[0] is Case.SETTLED


class TestWaking:
    async def test_a_delay_that_is_over_in_a_rebalance_wakes_who_waits_when_that_is_over(self, scene: Scene) -> None:
        answer = await scene.taken_over(0)
        waiting = scene.pulling("B")
        await until(lambda: len(scene.runtime._pulls))
        await scene.settling(nack=entries(answer, delay=0.05))
        scene.rebalance(0)
        await until(lambda: scene.runtime.dispatcher.partitions[0].sleepers.due)
        await until(lambda: not scene.runtime._waking._working)
        await scene.runtime.start({0})
        async with asyncio.timeout(1.0):
            assert offsets(await waiting) == [0]


class TestReject:
    async def test_it_is_settled_when_it_is_where_rejected_ones_go(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        put = scene.kafka.hold("put")
        settling = scene.settling(reject=entries(answer, reason="broken"))
        await put.reached()
        assert scene.kafka.called("put")[-1].what == (0, 1, "broken", "A")
        assert scene.runtime.dispatcher.partitions[0].ledger.floor == 0
        put.go_on()
        outcome = await settling
        assert (outcome.rejected, outcome.results) == (1, [])
        assert scene.runtime.commit.committable()[0] == 1

    async def test_where_it_cannot_be_put_away_it_stays_with_its_client(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        scene.kafka.fail("put", SourceError("timed out"))
        outcome = await scene.settling(reject=entries(answer))
        assert (outcome.rejected, outcome.results) == (0, [("0/0", Status.RETRY)])
        assert (await scene.settling(ack=entries(answer))).acked == 1

    async def test_one_that_an_earlier_owner_handed_out_is_read_first(self, scene: Scene) -> None:
        answer = await scene.taken_over(0, 1)
        scene.kafka.lost.add(1)
        outcome = await scene.settling(reject=entries(answer, reason="broken"))
        assert (outcome.rejected, outcome.results) == (2, [])
        assert [call.what for call in scene.kafka.called("put")] == [(0, 1, "broken", "A")], "the log has no other"
        assert scene.runtime.dispatcher.partitions[0].ledger.floor == 2

    async def test_one_that_cannot_be_read_stays_with_its_client(self, scene: Scene) -> None:
        answer = await scene.taken_over(0)
        scene.kafka.fail("read", SourceError("timed out"))
        outcome = await scene.settling(reject=entries(answer))
        assert (outcome.rejected, outcome.results) == (0, [("0/0", Status.RETRY)])
        assert (await scene.settling(ack=entries(answer))).acked == 1

    async def test_one_whose_partition_goes_meanwhile_settles_nothing(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        put = scene.kafka.hold("put")
        settling = scene.settling(reject=entries(answer))
        await put.reached()
        scene.rebalance(1)
        put.go_on()
        outcome = await settling
        assert (outcome.rejected, outcome.results) == (0, [("0/0", Status.RETRY)]), "its next owner hands it out again"

    async def test_one_whose_partition_is_sought_meanwhile_is_of_an_older_era(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        put = scene.kafka.hold("put")
        settling = scene.settling(reject=entries(answer))
        await put.reached()
        await scene.runtime.seek(0, 0, force=True)
        put.go_on()
        outcome = await settling
        assert (outcome.rejected, outcome.results) == (0, [("0/0", Status.GONE)])

    async def test_one_that_is_acked_meanwhile_is_answered_when_that_is_in_the_changelog(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        put = scene.kafka.hold("put")
        settling = scene.settling(reject=entries(answer))
        await put.reached()
        write = scene.kafka.hold("write_row")
        await scene.runtime.settle(Settle(ack=entries(answer), durable=False))
        await write.reached()
        put.go_on()
        done, _ = await asyncio.wait([settling], timeout=0.05)
        assert not done
        write.go_on()
        outcome = await settling
        assert (outcome.rejected, outcome.results) == (0, [("0/0", Status.ALREADY_SETTLED)])

    @pytest.mark.usefixtures("impatient")
    async def test_one_whose_row_is_not_written_counts_as_none(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        scene.kafka.fail("write_row", *[WriteError("timed out")] * 50)
        outcome = await scene.settling(reject=entries(answer))
        assert (outcome.rejected, outcome.results) == (0, [("0/0", Status.RETRY)])

    async def test_one_whose_client_leaves_meanwhile_is_settled_for_everybody(self, scene: Scene) -> None:
        await scene.arrive(0)
        answer = await scene.answer()
        put = scene.kafka.hold("put")
        settling = scene.settling(reject=entries(answer))
        await put.reached()
        assert scene.runtime.leave("A")
        assert await scene.pull("B") == [0]
        put.go_on()
        assert (await settling).rejected == 1
        assert scene.runtime.dispatcher.clients.in_flight == 0


class TestOperator:
    async def test_while_paused_nothing_is_handed_out_and_settles_go_on(self, scene: Scene) -> None:
        await scene.arrive(0, 1)
        answer = await scene.answer()
        await scene.runtime.pause()
        assert await scene.pulling("B", wait=0.01) is Empty.PAUSED
        assert not scene.runtime.wants(0)
        assert (await scene.settling(ack=entries(answer))).acked == 1
        waiting = scene.pulling("B")
        await until(lambda: len(scene.runtime._pulls))
        await scene.runtime.resume()
        assert offsets(await waiting) == [1]
        assert [call.what for call in scene.kafka.called("remember")] == [True, False]

    async def test_what_another_worker_was_asked_is_followed(self, scene: Scene) -> None:
        scene.runtime.switched(True)
        await scene.arrive(0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        scene.runtime.switched(True)
        assert scene.runtime.paused
        assert not waiting.done()
        scene.runtime.switched(False)
        assert offsets(await waiting) == [0]
        assert scene.kafka.called("remember") == []

    async def test_what_cannot_be_remembered_is_not_done(self, scene: Scene) -> None:
        scene.kafka.fail("remember", UnavailableError("timed out"))
        with pytest.raises(UnavailableError):
            await scene.runtime.pause()
        assert not scene.runtime.paused
        await scene.runtime.pause()
        scene.kafka.fail("remember", UnavailableError("timed out"))
        with pytest.raises(UnavailableError):
            await scene.runtime.resume()
        assert scene.runtime.paused

    async def test_one_that_was_paused_before_its_start_is_paused(self, scene: Scene) -> None:
        scene.runtime.was_paused()
        await scene.arrive(0)
        assert await scene.pulling(wait=0.01) is Empty.PAUSED
        assert scene.runtime.status()["paused"]

    async def test_after_a_seek_who_waits_gets_what_is_read_from_there(self, scene: Scene) -> None:
        await scene.arrive(0, 1)
        assert await scene.runtime.seek(0, "earliest", force=False) == {0: 0}
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        await scene.arrive(0)
        answer = await waiting
        assert isinstance(answer, Answer)
        assert answer.runs[0].era == 1

    async def test_a_log_that_is_another_one_is_read_from_where_that_begins(self, scene: Scene) -> None:
        await scene.arrive(0, 1, 2)
        scene.kafka.ends = {0: 1, 1: 0}
        for _ in range(3):
            assert scene.runtime.dispatcher.partitions[0].next_offset == 3
            await scene.runtime.watch_log()
        assert scene.runtime.dispatcher.partitions[0].next_offset == 0

    async def test_live_leases_are_listed_oldest_first(self, scene: Scene) -> None:
        await scene.arrive(0, 1, 2)
        first, second = await scene.answer("A"), await scene.answer("B", 2)
        listed = scene.runtime.live_leases(0.0, 2)
        assert [(lease.client, lease.ref.offset) for lease in listed] == [("A", 0), ("B", 1)]
        assert [lease.ref.batch for lease in listed] == [first.batch, second.batch]
        assert scene.runtime.live_leases(60.0, 10) == []


class TestOwned:
    async def test_what_it_can_serve_is_none_in_a_rebalance_and_none_once_it_has_left(self, scene: Scene) -> None:
        told: list[tuple[int, ...]] = []
        scene.runtime.on_moved = lambda: told.append(scene.runtime.owned())
        assert scene.runtime.owned() == (0, 1)
        scene.rebalance(1, 2)
        assert scene.runtime.owned() == ()
        await scene.runtime.start({1, 2})
        assert scene.runtime.owned() == (1, 2)
        await scene.runtime.give_up()
        scene.runtime.left_group(forget=False)
        assert scene.runtime.owned() == ()
        assert told[:2] == [(), (1, 2)]
        assert len(told) == 3, "it is told that they are given up, before they are"


class TestHealth:
    async def test_it_is_unhealthy_when_messages_and_free_clients_do_not_meet(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "STANDSTILL", 0.0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime._pulls))
        assert scene.runtime.healthy() is None, "there is nothing"
        dispatcher = scene.runtime.dispatcher
        assert dispatcher.offer(0, 0, 1, fetch(0, 0, 0).messages)
        assert "nothing was handed out" in (scene.runtime.healthy() or "")
        dispatcher.paused = True
        assert scene.runtime.healthy() is None, "that is what was asked for"
        dispatcher.paused = False
        scene.terms.confirmed = False
        assert scene.runtime.healthy() is None, "and that is no fault of ours"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        scene.terms.confirmed = True
        assert scene.runtime.healthy() is None, "nobody waits"
