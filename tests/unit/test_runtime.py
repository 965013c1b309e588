"""Pulls of one worker, with clients that hang up and rebalances at the worst of times; and what operators ask."""

from __future__ import annotations

import asyncio

import pytest

from fanout_app import ledger_group as module
from fanout_app.core.errors import UnavailableError
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Pull
from unit.fake_ports import LONG, fetch, until
from unit.scene import Scene, entries, offsets


class TestPull:
    async def test_one_that_waits_is_answered_by_what_arrives(self, scene: Scene) -> None:
        pulling = scene.pulling()
        await until(lambda: len(scene.runtime.queue.pulls))
        await scene.arrive(0)
        assert offsets(await pulling) == [0]
        assert len(scene.runtime.queue.pulls) == 0

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
        await until(lambda: len(scene.runtime.queue.pulls))
        pulling.cancel()
        await asyncio.gather(pulling, return_exceptions=True)
        await scene.arrive(0)
        assert len(scene.runtime.queue.pulls) == 0
        assert await scene.pull("B") == [0]

    async def test_what_was_meant_for_one_that_hung_up_in_this_moment_goes_to_who_waits_beside_it(
        self, scene: Scene
    ) -> None:
        gone, other = scene.pulling("A"), scene.pulling("B")
        await until(lambda: len(scene.runtime.queue.pulls) == 2)
        gone.cancel()  # and before its task gets to know of that:
        await scene.arrive(0)
        async with asyncio.timeout(LONG / 2):
            assert offsets(await other) == [0]
        assert scene.runtime.dispatcher.partitions[0].ledger.failures == {}

    async def test_what_was_handed_to_one_that_hung_up_before_it_read_it_goes_to_the_next(self, scene: Scene) -> None:
        gone = scene.pulling("A")
        await until(lambda: len(scene.runtime.queue.pulls))
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
        await until(lambda: len(scene.runtime.queue.pulls))
        scene.runtime.release(answer)
        assert offsets(await waiting) == [0]
        scene.runtime.release(answer)
        assert scene.runtime.dispatcher.clients.in_flight == 1, "what is over cannot be released again"

    async def test_nothing_is_handed_out_without_a_recent_answer_of_the_coordinator(self, scene: Scene) -> None:
        scene.terms.confirmed = False
        await scene.arrive(0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime.queue.pulls))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert scene.runtime.status()["degraded"] == ["no recent answer from the group's coordinator"]
        scene.terms.confirmed = True
        assert offsets(await waiting) == [0], "it is looked at again though nothing happens"

    async def test_one_rides_a_rebalance_out(self, scene: Scene) -> None:
        await scene.arrive(0)
        scene.rebalance(0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime.queue.pulls))
        assert not waiting.done()
        assert scene.runtime.status()["degraded"] == ["rebalancing"]
        await scene.runtime.start({0})
        assert offsets(await waiting) == [0]

    async def test_who_leaves_is_sent_home_and_what_it_held_goes_to_others(self, scene: Scene) -> None:
        await scene.arrive(0)
        await scene.answer("A")
        home, other = scene.pulling("A"), scene.pulling("B")
        await until(lambda: len(scene.runtime.queue.pulls) == 2)
        assert scene.runtime.leave("A")
        assert await home is Empty.NO_MESSAGE
        assert offsets(await other) == [0]
        assert not scene.runtime.leave("A")

    async def test_while_stopping_nobody_waits(self, scene: Scene) -> None:
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime.queue.pulls))
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


class TestWaking:
    async def test_a_delay_that_is_over_in_a_rebalance_wakes_who_waits_when_that_is_over(self, scene: Scene) -> None:
        answer = await scene.taken_over(0)
        waiting = scene.pulling("B")
        await until(lambda: len(scene.runtime.queue.pulls))
        await scene.settling(nack=entries(answer, delay=0.05))
        scene.rebalance(0)
        await until(lambda: scene.runtime.dispatcher.partitions[0].sleepers.due)
        await until(lambda: not scene.runtime.queue.waking._working)
        await scene.runtime.start({0})
        async with asyncio.timeout(1.0):
            assert offsets(await waiting) == [0]


class TestOperator:
    async def test_while_paused_nothing_is_handed_out_and_settles_go_on(self, scene: Scene) -> None:
        await scene.arrive(0, 1)
        answer = await scene.answer()
        await scene.runtime.pause()
        assert await scene.pulling("B", wait=0.01) is Empty.PAUSED
        assert not scene.runtime.wants(0)
        assert (await scene.settling(ack=entries(answer))).acked == 1
        waiting = scene.pulling("B")
        await until(lambda: len(scene.runtime.queue.pulls))
        await scene.runtime.resume()
        assert offsets(await waiting) == [1]
        assert [call.what for call in scene.kafka.called("remember")] == [True, False]

    async def test_what_another_worker_was_asked_is_followed(self, scene: Scene) -> None:
        scene.runtime.switched(True)
        await scene.arrive(0)
        waiting = scene.pulling()
        await until(lambda: len(scene.runtime.queue.pulls))
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
        await until(lambda: len(scene.runtime.queue.pulls))
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
        await until(lambda: len(scene.runtime.queue.pulls))
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
