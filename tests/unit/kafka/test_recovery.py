"""The recovery of the Table while Kafka is away, slow, or has lost the end of a log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError, NotLeaderForPartitionError, TopicAuthorizationFailedError
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from faust.types import TP
from mode.services import ServiceTask

from fanout_app.kafka import recovery as module
from fanout_app.kafka.recovery import LedgerRecovery, RecoveryEndedError

CHANGELOG = TP("changelog", 0)
#: Seconds; a step of stock Faust would have ended after the first, all of it after the second.
REQUEST_TIMEOUT = 0.01
WITHIN = 5.0


class Consumer:
    """One whose answers are given before; the last is given again and again."""

    def __init__(self, *answers: int | KafkaError) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, KafkaError):
            raise answer
        return dict.fromkeys(tps, answer)

    earliest_offsets = highwaters


@pytest.fixture
async def recovery(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LedgerRecovery]:
    monkeypatch.setattr(module, "_RETRY_PAUSE", 0.001)
    conf = SimpleNamespace(stream_recovery_delay=0.0, broker_request_timeout=REQUEST_TIMEOUT)
    app: Any = SimpleNamespace(conf=conf, in_recovery=False, consumer=Consumer(0))
    tables: Any = SimpleNamespace()
    recovery = LedgerRecovery(app, tables)
    yield recovery
    recovery._stopped.set()


async def test_a_step_that_takes_longer_than_a_request_may_is_waited_for(recovery: LedgerRecovery) -> None:
    done = asyncio.Event()
    waiting = asyncio.create_task(recovery._wait(done.wait(), timeout=REQUEST_TIMEOUT))
    await asyncio.wait({waiting}, timeout=5 * REQUEST_TIMEOUT)
    assert not waiting.done()
    done.set()
    async with asyncio.timeout(WITHIN):
        await waiting


@pytest.mark.parametrize(("event", "error"), [("rebalance", RebalanceAgain), ("stop", ServiceStopped)])
async def test_a_step_ends_with_the_next_rebalance_and_with_the_worker(
    recovery: LedgerRecovery, event: str, error: type[Exception]
) -> None:
    waiting = asyncio.create_task(recovery._wait(asyncio.Event().wait(), timeout=REQUEST_TIMEOUT))
    await asyncio.sleep(0)
    (recovery.signal_recovery_start if event == "rebalance" else recovery._stopped).set()
    with pytest.raises(error):
        async with asyncio.timeout(WITHIN):
            await waiting


@pytest.mark.parametrize("step", ["_build_highwaters", "_build_offsets"])
class TestWhatIsAsked:
    async def test_is_asked_until_kafka_answers(self, recovery: LedgerRecovery, step: str) -> None:
        consumer = Consumer(KafkaTimeoutError(), NotLeaderForPartitionError(), KafkaTimeoutError(), 8)
        found: Counter[TP] = Counter({CHANGELOG: 0})
        await getattr(recovery, step)(consumer, {CHANGELOG}, found, "active")
        assert consumer.asked == 4
        assert found == {CHANGELOG: 7}

    async def test_ends_the_recovery_if_it_is_refused(self, recovery: LedgerRecovery, step: str) -> None:
        with pytest.raises(TopicAuthorizationFailedError):
            await getattr(recovery, step)(Consumer(TopicAuthorizationFailedError()), {CHANGELOG}, Counter(), "active")


@pytest.mark.parametrize("by", ["a return", "a cancellation of what it waits for"])
async def test_a_recovery_that_ends_by_itself_ends_the_worker(
    recovery: LedgerRecovery, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker would keep its partitions, and begin none of them."""

    async def ends(_: Any) -> None:
        if by != "a return":
            raise asyncio.CancelledError

    monkeypatch.setattr(Recovery, "_restart_recovery", ServiceTask(ends))
    with pytest.raises(RecoveryEndedError):
        await LedgerRecovery._restart_recovery.fun(recovery)


async def test_a_recovery_that_is_ended_with_its_worker_is_no_fault(recovery: LedgerRecovery) -> None:
    recovering = asyncio.create_task(LedgerRecovery._restart_recovery.fun(recovery))
    await asyncio.sleep(0)
    recovering.cancel()
    await asyncio.wait({recovering}, timeout=WITHIN)
    assert recovering.cancelled()


@pytest.mark.parametrize(
    ("end", "awaited"),
    [(4, 3), (8, 7), (12, 7), (KafkaTimeoutError(), 7)],
    ids=["the log was cut", "it was not", "it has grown", "nobody says"],
)
async def test_no_more_is_waited_for_than_is_there(
    recovery: LedgerRecovery, end: int | KafkaError, awaited: int
) -> None:
    recovery.active_highwaters[CHANGELOG] = 7
    recovery.app.consumer = Consumer(end)
    await recovery.look_how_far()
    assert recovery.active_highwaters == {CHANGELOG: awaited}
