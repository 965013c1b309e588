"""Settles of one worker: when they are answered, and how, whatever happens meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from fanout_app.core.requests import BatchRef, Entry, LeaseRef, Settle, Status
from fanout_app.core.settling import Case
from fanout_app.ports import SourceError, WriteError
from unit.fake_ports import until
from unit.scene import Scene, entries, offsets


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
        await until(lambda: len(scene.runtime.queue.pulls))
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
