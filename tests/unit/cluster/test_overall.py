"""What is seen and asked of the whole cluster, at a worker that has no part in it."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import pytest

from fanout_app.cluster.gathering import Gathering
from fanout_app.core.errors import LeasesLiveError, NotOwnedError, RefusedError, UnavailableError
from fanout_app.core.requests import Empty, LeaseRef
from fanout_app.core.settling import Case
from unit.cluster.conftest import Trio
from unit.cluster.wire import Member, leases
from unit.fake_ports import until


async def held(owner: Member, number: int, *offsets: int, client: str = "A") -> list[LeaseRef]:
    await owner.arrive(*offsets, number=number)
    some = await owner.pull(client, len(offsets))
    assert not isinstance(some, Empty)
    return some


async def test_sums_are_over_all_workers_and_clients_are_counted_once(trio: Trio) -> None:
    await held(trio.a, 0, 0, 1, client="both")
    await held(trio.b, 1, 0, client="both")
    await held(trio.b, 1, 1, client="one")
    waiting = trio.c.pulling("waits")
    await until(lambda: trio.a.waits() and trio.b.waits())

    status = await trio.c.runtime.overall.status()

    assert (status["in_flight"], status["clients"], status["waiting_pulls"]) == (4, 3, 1)
    assert status["workers"] == ["c", "a", "b"]
    assert status["worker"] == "c"
    rows = {row["client"]: row for row in await trio.c.runtime.overall.clients()}
    assert {name: (row["in_flight"], row["waiting"]) for name, row in rows.items()} == {
        "both": (3, 0), "one": (1, 0), "waits": (0, 1),
    }  # fmt: skip
    waiting.cancel()


async def test_a_survey_is_all_of_it_with_what_each_worker_has_counted(trio: Trio) -> None:
    (lease, _) = await held(trio.a, 0, 0, 1, client="both")
    await held(trio.b, 1, 0, client="both")
    await held(trio.b, 1, 1, 2, 3, client="one")
    await trio.a.settle(ack=[lease])
    overall = trio.c.runtime.overall

    survey = await overall.survey(10)

    assert survey.status == await overall.status()
    assert [row["owner"] for row in survey.partitions] == ["a", "b"]
    assert {(row["client"], row["in_flight"]) for row in survey.clients} == {("both", 2), ("one", 3)}
    counted = {name: (part["delivered"], part["acked"]) for name, part in survey.counted.items() if part}
    assert counted == {"a": (2, 1), "b": (4, 0), "c": (0, 0)}
    latencies = {name: sum(part["latencies"].values()) for name, part in survey.counted.items() if part}
    assert latencies == {"a": 1, "b": 0, "c": 0}
    assert [row["client"] for row in (await overall.survey(1)).clients] == ["one"]


async def test_a_survey_is_without_what_does_not_answer(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Gathering.ask_all.__kwdefaults__ or {}, "within", 0.05)
    trio.ends["b", "c"].delay()

    survey = await trio.c.runtime.overall.survey(10)

    assert survey.status["degraded"] == ["b: does not answer"]
    assert survey.counted["b"] is None
    assert [row["partition"] for row in survey.partitions] == [0]


async def test_the_reasons_of_others_have_their_names_in_front(trio: Trio) -> None:
    trio.b.terms.confirmed = False

    status = await trio.c.runtime.overall.status()

    assert status["degraded"] == ["b: no recent answer from the group's coordinator"]


async def test_one_that_does_not_answer_is_named(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Gathering.ask_all.__kwdefaults__ or {}, "within", 0.05)
    trio.ends["b", "c"].delay()

    status = await trio.c.runtime.overall.status()

    assert status["degraded"] == ["b: does not answer"]
    assert status["workers"] == ["c", "a"]
    trio.ends["b", "c"].flow()


async def test_each_partition_has_one_row_that_of_its_latest_owner(trio: Trio) -> None:
    await trio.b.own(0, 1, generation=7)  # a does not know yet

    for member in trio.members:
        await until(lambda member=member: member.runtime.exchange.routes.owner(0) or member is trio.b)  # type: ignore[misc]
        rows = await member.runtime.overall.partitions()
        assert [(row["partition"], row["owner"]) for row in rows] == [(0, "b"), (1, "b")]


async def test_leases_of_all_are_listed_oldest_first_and_told_of_one_by_one(trio: Trio) -> None:
    (first,) = await held(trio.b, 1, 0)
    given = monotonic()
    await until(lambda: monotonic() > given + 0.05)  # ages are exact to the time that a question takes
    (second,) = await held(trio.a, 0, 0)

    listed = await trio.c.runtime.overall.leases(0.0, 10)

    assert [lease.ref for lease in listed] == [first, second]
    assert (await trio.c.runtime.overall.leases(0.0, 1))[0].ref == first
    case, deadline = await trio.c.runtime.overall.lease_state(first)
    assert case is Case.LIVE
    assert deadline == pytest.approx(listed[0].deadline, abs=0.5)
    await trio.c.settle(ack=[first])
    assert await trio.c.runtime.overall.lease_state(first) == (Case.SETTLED, None)


async def test_a_client_that_leaves_leaves_everywhere(trio: Trio) -> None:
    await held(trio.a, 0, 0, client="gone")
    waiting = trio.b.pulling("gone")
    await until(lambda: trio.a.waits())

    assert await trio.c.runtime.overall.leave("gone")

    assert await waiting is Empty.NO_MESSAGE
    assert not isinstance(leases(await trio.a.pulling("next")), Empty)
    assert not await trio.c.runtime.overall.leave("nobody")


class TestSeek:
    async def seek(self, trio: Trio, partition: int | None, **how: Any) -> dict[int, int]:
        return await trio.c.runtime.overall.seek(partition, "latest", force=how.get("force", False))

    async def test_all_partitions_are_sought_by_their_owners(self, trio: Trio) -> None:
        trio.a.kafka.sought_to[0], trio.b.kafka.sought_to[1] = 7, 8

        assert await self.seek(trio, None) == {0: 7, 1: 8}

        assert (trio.a.queue.partitions[0].ledger.era, trio.b.queue.partitions[1].ledger.era) == (1, 1)

    async def test_one_is_sought_by_its_owner_alone(self, trio: Trio) -> None:
        trio.b.kafka.sought_to[1] = 8

        assert await self.seek(trio, 1) == {1: 8}

        assert trio.a.queue.partitions[0].ledger.era == 0

    async def test_what_one_owner_refuses_no_owner_begins(self, trio: Trio) -> None:
        await held(trio.b, 1, 0)

        with pytest.raises(LeasesLiveError):
            await self.seek(trio, None)

        assert trio.a.queue.partitions[0].ledger.era == 0
        assert await self.seek(trio, None, force=True) == {0: 0, 1: 0}

    async def test_one_that_nobody_owns_is_moving(self, trio: Trio) -> None:
        trio.c.runtime.topic_has(6)
        with pytest.raises(NotOwnedError):
            await self.seek(trio, 5)

    @pytest.mark.parametrize("asked", ["a", "c"])
    async def test_one_that_the_topic_does_not_have_is_refused(self, trio: Trio, asked: str) -> None:
        here = getattr(trio, asked).runtime
        here.topic_has(5)
        with pytest.raises(RefusedError, match="partition: the topic has 5, numbered from 0"):
            await here.overall.seek(5, "earliest", force=False)

    async def test_one_that_another_noticed_first_is_sought_at_its_owner(self, trio: Trio) -> None:
        await trio.b.own(1, 7)
        await until(lambda: 7 in trio.c.runtime.exchange.routes.known())
        assert trio.c.runtime.partitions_of_topic < 7
        assert await self.seek(trio, 7) == {7: 0}

    async def test_an_owner_that_is_lost_meanwhile_may_have_begun(self, trio: Trio) -> None:
        looking = trio.a.kafka.hold("offsets_at")
        seeking = asyncio.create_task(self.seek(trio, 0))
        await looking.reached()

        trio.ends["c", "a"].lose()

        with pytest.raises(UnavailableError, match="did not answer"):
            await seeking
        looking.go_on()
