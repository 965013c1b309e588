"""What becomes of fetches: taken, found not to follow, lost on the way, or of a log that is not the same any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from fanout_app import fetches as module
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.fetches import Fetches
from fanout_app.ports import SourceError
from unit.fake_ports import Worker, fetch, until


class Scene(Worker):
    def __init__(self) -> None:
        super().__init__()
        self.fetches = Fetches(self.dispatcher, self.commit, self.kafka, serve=self.serve)

    def next_offset(self, number: int = 0) -> int:
        return self.dispatcher.partitions[number].next_offset


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Partitions 0 and 1, each from 10 on, of a log of 100."""
    monkeypatch.setattr(module, "_DROPPED_AFTER", 0.02)
    scene = Scene()
    scene.kafka.rows = {0: [LedgerSnapshot(floor=10)], 1: [LedgerSnapshot(floor=10)]}
    scene.kafka.ends = {0: 100, 1: 100}
    await scene.own(0, 1)
    scene.kafka.calls.clear()
    yield scene
    await scene.stop()


class TestTake:
    async def test_one_that_follows_is_served(self, scene: Scene) -> None:
        served = scene.served
        await scene.fetches.take(fetch(0, 10, 10, 11))
        assert (scene.next_offset(), scene.served) == (12, served + 1)
        assert not scene.kafka.called("seek")
        assert scene.hand_out(count=5) == [10, 11]

    async def test_a_hole_makes_a_row_due_though_nobody_acks(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fanout_app.fetches.QUIET", 0.01)
        await scene.fetches.take(fetch(0, 10, after=20))
        await until(lambda: scene.commit.committable()[0] == 20)

    async def test_one_that_does_not_follow_is_thrown_away_and_read_again(self, scene: Scene) -> None:
        await scene.fetches.take(fetch(0, 15, 15, 16))
        assert scene.next_offset() == 10
        assert scene.hand_out() == []
        assert scene.kafka.called("seek")[-1][1:] == (0, 10)

    async def test_where_the_log_has_lost_its_start_it_goes_on_there_and_says_how_much_is_lost(
        self, scene: Scene, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene.kafka.log_starts[0] = 30
        await scene.fetches.take(fetch(0, 30, 30))
        assert scene.next_offset() == 30
        assert scene.kafka.called("seek")[-1][1:] == (0, 30)
        assert scene.dispatcher.counters.lost_to_retention == 20
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [record.name for record in errors] == ["fanout.fetches"]
        await until(lambda: scene.commit.committable()[0] == 30)

    async def test_of_a_partition_that_is_not_ours_nothing_happens(self, scene: Scene) -> None:
        await scene.fetches.take(fetch(7, 0, 0))
        assert scene.kafka.calls == []

    async def test_during_a_rebalance_nothing_is_sought(self, scene: Scene) -> None:
        scene.rebalance(0, 1)
        await scene.fetches.take(fetch(0, 15, 15))
        assert not scene.kafka.called("seek")

    @pytest.mark.parametrize("step", ["log_start", "seek"])
    async def test_kafka_that_does_not_answer_is_no_reason_to_end(
        self, scene: Scene, step: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene.kafka.fail(step, SourceError("timed out"))
        await scene.fetches.take(fetch(0, 15, 15))
        assert "could not read again from 10" in caplog.text
        await scene.fetches.take(fetch(0, 15, 15))
        assert scene.kafka.called("seek")[-1][1:] == (0, 10)

    @pytest.mark.parametrize("what", ["lost", "suspended", "sought", "lost and back"])
    async def test_a_partition_that_moves_while_the_log_is_looked_at_is_left_alone(
        self, scene: Scene, what: str
    ) -> None:
        """The agent that calls this must not end, and no position of another term may be set."""
        scene.kafka.log_starts[0] = 30
        held = scene.kafka.hold("log_start")
        taking = asyncio.create_task(scene.fetches.take(fetch(0, 15, 15)))
        await held.reached()
        if what == "lost":
            scene.rebalance(1)
        elif what == "suspended":
            scene.rebalance(0, 1)
        elif what == "sought":
            scene.kafka.sought_to = {0: 50}
            await scene.assignment.seek(0, 50, force=False)
        else:
            scene.rebalance(1)
            await scene.own(0, 1)
        scene.kafka.calls.clear()
        held.go_on()
        await taking
        assert not scene.kafka.called("seek")
        assert scene.dispatcher.counters.lost_to_retention == 0


class TestPosition:
    async def test_one_that_stays_ahead_for_a_while_means_that_a_fetch_was_dropped(self, scene: Scene) -> None:
        assert scene.fetches.position(0, 15) is None
        await until(lambda: scene.fetches.position(0, 15) == 10)
        assert scene.fetches.position(0, 15) is None, "it was sought: that takes a while again"

    async def test_one_that_goes_on_is_under_way(self, scene: Scene) -> None:
        scene.fetches.position(0, 15)
        before = scene.fetches._ahead[0]
        assert scene.fetches.position(0, 16) is None
        assert scene.fetches._ahead[0] > before
        await scene.fetches.take(fetch(0, 10, 10, 11))
        assert 0 not in scene.fetches._ahead
        assert scene.fetches.position(0, 16) is None

    async def test_one_that_is_not_ahead_is_none(self, scene: Scene) -> None:
        scene.fetches.position(0, 15)
        assert scene.fetches.position(0, 10) is None
        assert scene.fetches._ahead == {}

    async def test_during_a_rebalance_or_elsewhere_nothing_is_sought(self, scene: Scene) -> None:
        scene.fetches.position(0, 15)
        scene.rebalance(0)
        for number in (0, 1, 7):
            assert scene.fetches.position(number, 15) is None
        assert scene.fetches._ahead == {}


class TestWatchLog:
    async def test_it_says_what_still_waits_in_kafka(self, scene: Scene) -> None:
        assert await scene.fetches.watch_log() == set()
        assert scene.dispatcher.partitions[0].log_end == 100

    async def test_a_log_that_ends_early_is_believed_at_the_third_reading(self, scene: Scene) -> None:
        scene.kafka.ends[0] = 9
        assert [await scene.fetches.watch_log() for _ in range(4)] == [set(), set(), {0}, set()]

    async def test_one_reading_that_is_right_again_begins_the_count_anew(self, scene: Scene) -> None:
        readings = []
        for end in (9, 9, 10, 9, 9, 9):
            scene.kafka.ends[0] = end
            readings.append(await scene.fetches.watch_log())
        assert readings == [set()] * 5 + [{0}]

    async def test_a_topic_that_has_another_id_is_another_one_however_long_its_log(self, scene: Scene) -> None:
        scene.dispatcher.partitions[0].ledger.topic_id = b"one"
        scene.kafka.id_of_topic = b"one"
        assert [await scene.fetches.watch_log() for _ in range(5)] == [set()] * 5
        scene.kafka.id_of_topic = b"another"
        assert [await scene.fetches.watch_log() for _ in range(5)] == [set()] * 4 + [{0}]

    @pytest.mark.parametrize("known", [b"", b"one"], ids=["no id", "no answer"])
    async def test_who_gives_no_id_of_the_topic_says_nothing(self, scene: Scene, known: bytes) -> None:
        scene.dispatcher.partitions[0].ledger.topic_id = b"one"
        if known:
            scene.kafka.fail("topic_id", SourceError("away"))
        assert [await scene.fetches.watch_log() for _ in range(5)] == [set()] * 5
        assert scene.kafka.called("topic_id")

    async def test_meanwhile_nothing_is_read_again_from_a_log_that_may_be_another(self, scene: Scene) -> None:
        scene.kafka.ends[0] = 9
        await scene.fetches.watch_log()
        scene.kafka.calls.clear()
        await scene.fetches.take(fetch(0, 3, 3))
        assert scene.kafka.calls == []
        scene.kafka.ends[0] = 100
        await scene.fetches.watch_log()
        await scene.fetches.take(fetch(0, 15, 15))
        assert scene.kafka.called("seek")

    async def test_what_arrives_while_the_ends_are_asked_for_may_lie_behind_them(self, scene: Scene) -> None:
        scene.kafka.ends[0] = 10
        held = scene.kafka.hold("log_ends")
        for _ in range(3):
            watching = asyncio.create_task(scene.fetches.watch_log())
            await held.reached()
            asked = scene.next_offset()
            await scene.fetches.take(fetch(0, asked, asked))
            scene.kafka.ends[0] = asked
            next_one = scene.kafka.hold("log_ends")
            held.go_on()
            assert await watching == set()
            held = next_one
        assert scene.fetches._short == {}

    @pytest.mark.parametrize("step", ["between readings", "during a reading"])
    async def test_readings_of_an_earlier_time_with_a_partition_do_not_count(self, scene: Scene, step: str) -> None:
        scene.kafka.ends[0] = 9
        await scene.fetches.watch_log()
        held = scene.kafka.hold("log_ends")
        watching = asyncio.create_task(scene.fetches.watch_log())
        await held.reached()
        if step == "during a reading":
            scene.kafka.sought_to = {0: 5}
            await scene.assignment.seek(0, 5, force=False)
            held.go_on()
            assert await watching == set()
            assert not scene.fetches._short
        else:
            held.go_on()
            await watching
            scene.rebalance(1)
            assert await scene.assignment.start({1})
            await scene.fetches.watch_log()
            await scene.own(0, 1)
            assert await scene.fetches.watch_log() == set()
            assert await scene.fetches.watch_log() == set()
            assert await scene.fetches.watch_log() == {0}

    async def test_a_partition_that_goes_while_the_ends_are_asked_for(self, scene: Scene) -> None:
        held = scene.kafka.hold("log_ends")
        watching = asyncio.create_task(scene.fetches.watch_log())
        await held.reached()
        scene.rebalance()
        held.go_on()
        assert await watching == set()

    async def test_kafka_that_does_not_answer_says_nothing_and_is_told_of_once(
        self, scene: Scene, caplog: pytest.LogCaptureFixture
    ) -> None:
        scene.kafka.ends[0] = 9
        scene.kafka.fail("log_ends", SourceError("timed out"), SourceError("timed out"))
        for _ in range(2):
            assert await scene.fetches.watch_log() == set()
        assert scene.fetches._short == {}
        for _ in range(2):
            await scene.fetches.watch_log()
        silence, back = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert silence == "Kafka does not answer, nothing is fetched until it does: timed out"
        assert back == "Kafka answers again"

    async def test_without_partitions_nobody_is_asked(self, scene: Scene) -> None:
        scene.rebalance(0, 1)
        assert await scene.fetches.watch_log() == set()
        assert not scene.kafka.called("log_ends")


async def test_the_poll_under_way_is_ended_only_if_something_was_not_wanted(scene: Scene) -> None:
    scene.fetches.feed()
    assert not scene.kafka.called("wake_up")
    assert not scene.fetches.wants(0), "nobody is there"
    scene.hand_out()
    scene.fetches.feed()
    scene.fetches.feed()
    assert len(scene.kafka.called("wake_up")) == 1
    assert scene.fetches.wants(0)
