"""A client at any worker gets messages of every partition, and what does not reach it is another client's at once."""

from __future__ import annotations

import asyncio
import itertools
from time import monotonic

import pytest

from fanout_app.cluster import answering
from fanout_app.cluster.frames import Demand, Hold, State
from fanout_app.cluster.relayed import Relayed
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty
from unit.cluster.conftest import Trio
from unit.cluster.wire import in_body, leases, offsets
from unit.fake_ports import until


async def relayed(trio: Trio) -> Relayed:
    """A message of a is with c, for its client C."""
    pulling = trio.c.pulling("C")
    await until(lambda: trio.a.waits())
    await trio.a.arrive(0)
    answer = await pulling
    assert isinstance(answer, Relayed)
    return answer


class TestWaiting:
    async def test_a_client_at_a_spare_gets_what_arrives_at_any_owner(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C")
        await until(lambda: trio.a.waits() and trio.b.waits())

        await trio.b.arrive(0, number=1)

        assert offsets(leases(await pulling)) == [(1, 0)]

    async def test_served_at_one_owner_it_waits_at_no_other(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C")
        await until(lambda: trio.a.waits() and trio.b.waits())
        await trio.b.arrive(0, number=1)
        await pulling

        await until(lambda: not (trio.a.waits() or trio.b.waits() or trio.c.waits()))

    async def test_a_client_at_one_owner_gets_what_arrives_at_the_other(self, trio: Trio) -> None:
        pulling = trio.a.pulling("A")
        await until(lambda: trio.b.waits())

        await trio.b.arrive(0, number=1)

        assert offsets(leases(await pulling)) == [(1, 0)]

    async def test_the_intake_of_an_owner_opens_for_a_client_elsewhere(self, trio: Trio) -> None:
        assert not trio.a.runtime.wants(0)
        pulling = trio.c.pulling("C")

        await until(lambda: trio.a.runtime.wants(0))

        pulling.cancel()

    async def test_the_rotation_of_an_owner_holds_clients_of_all_workers(self, trio: Trio) -> None:
        order = []
        for _ in range(3):
            pulls = {name: member.pulling(name) for name, member in zip("ABC", trio.members, strict=True)}
            await until(lambda: trio.a.waits() == 3)
            for _step in range(3):
                await trio.a.arrive(trio.a.queue.partitions[0].next_offset)
            for name, pulling in pulls.items():
                order.append((*offsets(leases(await pulling)), name))

        turns = [name for _, name in sorted(order)]
        assert turns == turns[:3] * 3
        assert set(turns) == set("ABC")

    async def test_a_worker_that_is_given_a_partition_meanwhile_serves_who_waits_elsewhere(self, trio: Trio) -> None:
        pulling = trio.a.pulling("A")
        await until(lambda: trio.b.waits())
        await trio.b.own(generation=2)
        await trio.c.own(1, generation=2)
        await until(lambda: trio.c.waits())

        await trio.c.arrive(0, number=1)

        assert offsets(leases(await pulling)) == [(1, 0)]

    async def test_one_who_waits_when_a_worker_comes_waits_there_too(self, trio: Trio) -> None:
        trio.ends["c", "a"].lose()
        pulling = trio.c.pulling("C")
        await until(lambda: trio.b.waits())
        trio.c.join(trio.a)
        await until(lambda: trio.a.waits())

        await trio.a.arrive(0)

        assert offsets(leases(await pulling)) == [(0, 0)]


class TestBacklog:
    async def test_each_worker_is_asked_for_what_it_has(self, trio: Trio) -> None:
        await trio.a.arrive(*range(5))
        await trio.b.arrive(*range(5), number=1)
        await until(lambda: len(trio.c.runtime.exchange.routes.turn(0)) == 2)

        got = [offsets(await trio.c.pull("C", 2)) for _ in range(6)]

        assert sorted(itertools.chain(*got)) == [(number, offset) for number in (0, 1) for offset in range(5)]
        assert trio.c.runtime.exchange.asking.returned == 0

    async def test_a_worker_that_has_nothing_any_more_costs_one_question(self, trio: Trio) -> None:
        await trio.b.arrive(0, number=1)
        routes = trio.c.runtime.exchange.routes
        await until(lambda: routes.turn(0))
        await trio.b.pull("B")
        await trio.a.arrive(0)

        assert offsets(await trio.c.pull("C")) == [(0, 0)]

    async def test_a_worker_that_had_nothing_is_not_asked_first_again(self, trio: Trio) -> None:
        """What it told of itself is old by now, and it has no other news."""
        to_b = trio.ends["c", "b"]
        trio.c.runtime.exchange.routes.told(to_b, State((1,), 1, 5))

        for _ in range(2):
            assert await trio.c.pull("C", wait=0.0) is Empty.NO_MESSAGE

        assert [frame.waits for frame in to_b.sent if isinstance(frame, Demand)] == [False, True, True]

    async def test_a_worker_that_says_nothing_is_not_waited_for(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fanout_app.cluster.asking._TRY_FOR", 0.05)
        await trio.b.arrive(0, number=1)
        await until(lambda: trio.c.runtime.exchange.routes.turn(0))
        trio.ends["c", "b"].delay()
        await trio.a.arrive(0)

        assert offsets(await trio.c.pull("C")) == [(0, 0)]
        trio.ends["c", "b"].flow()


class TestNothing:
    async def test_nothing_anywhere_is_no_message_although_the_spare_has_no_partition(self, trio: Trio) -> None:
        assert await trio.c.pull("C", wait=0.01) is Empty.NO_MESSAGE

    async def test_the_reason_of_an_owner_is_told(self, trio: Trio) -> None:
        trio.a.queue.paused = True

        assert await trio.c.pull("C", wait=0.01) is Empty.PAUSED

    async def test_one_that_does_not_want_to_wait_gets_what_is_there(self, trio: Trio) -> None:
        trio.ends["a", "c"].delay()
        await trio.a.arrive(0)
        trio.ends["a", "c"].flow()

        assert offsets(await trio.c.pull("C", wait=0.0)) == [(0, 0)]

    async def test_what_comes_in_the_moment_the_time_is_up_is_its_own(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C", wait=0.05)
        await until(lambda: trio.a.waits())
        trio.ends["a", "c"].delay()
        await trio.a.arrive(0)
        await until(lambda: not trio.c.waits())
        trio.ends["a", "c"].flow()

        assert offsets(leases(await pulling)) == [(0, 0)]

    async def test_a_worker_whose_reason_does_not_come_is_not_waited_for(self, trio: Trio) -> None:
        trio.ends["a", "c"].delay()

        assert await trio.c.pull("C", wait=0.01) is Empty.NO_MESSAGE
        trio.ends["a", "c"].flow()


class TestReturned:
    async def test_of_two_answers_one_goes_back_uncounted(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C")
        await until(lambda: trio.a.waits() and trio.b.waits())
        await trio.a.arrive(0)
        await trio.b.arrive(0, number=1)
        (first,) = offsets(leases(await pulling))

        other = offsets(await trio.c.pull("D"))

        assert sorted([first, *other]) == [(0, 0), (1, 0)]
        assert trio.c.runtime.exchange.asking.returned == 1
        for member in (trio.a, trio.b):
            assert all(not queue.ledger.failures for queue in member.queue.partitions.values())

    async def test_a_client_that_hangs_up_waits_nowhere(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C")
        await until(lambda: trio.a.waits() and trio.b.waits())

        pulling.cancel()

        await until(lambda: not (trio.a.waits() or trio.b.waits() or trio.c.waits()))

    async def test_an_answer_for_one_that_has_hung_up_is_the_next_ones(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C")
        await until(lambda: trio.a.waits())
        trio.ends["c", "a"].delay()  # that it has hung up is not known at a
        pulling.cancel()
        await until(lambda: not trio.b.waits())
        await trio.a.arrive(0)
        trio.ends["c", "a"].flow()

        assert offsets(await trio.a.pull("A")) == [(0, 0)]

    async def test_an_answer_that_cannot_be_written_is_the_next_ones(self, trio: Trio) -> None:
        answer = await relayed(trio)

        answer.give_back()

        (lease,) = await trio.a.pull("A")  # type: ignore[misc]
        assert (lease.offset, lease.delivery_count) == (0, 1)

    async def test_one_that_its_client_has_shown_to_have_is_not_given_back(self, trio: Trio) -> None:
        answer = await relayed(trio)
        assert (await trio.a.settle(extend=in_body(answer))).extended == 1

        answer.give_back()

        assert await trio.a.pull("A", wait=0.1) is Empty.NO_MESSAGE

    @pytest.mark.parametrize("confirmed", [True, False])
    async def test_a_lost_connection_frees_what_was_not_confirmed(self, trio: Trio, confirmed: bool) -> None:
        answer = await relayed(trio)
        if confirmed:
            answer.confirm()
            await until(lambda: not trio.a.runtime.exchange.answering.on_loan())

        trio.ends["c", "a"].lose()

        assert (await trio.a.pull("A", wait=0.0) is Empty.NO_MESSAGE) == confirmed

    async def test_a_lost_connection_ends_the_waits_of_its_clients(self, trio: Trio) -> None:
        pulling = trio.c.pulling("C")
        await until(lambda: trio.a.waits())

        trio.ends["c", "a"].lose()

        assert not trio.a.waits()
        pulling.cancel()

    async def test_a_worker_that_does_not_confirm_is_given_nothing_more(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(answering, "LOAN", 0.05)
        stuck = [trio.c.pulling(name) for name in ("C", "D", "E")]
        await until(lambda: trio.a.waits() == 3)
        trio.ends["c", "a"].delay()  # c is stopped: it is given messages, and says nothing
        at_a = trio.a.pulling("A")
        await until(lambda: trio.a.waits() == 4)

        await trio.a.arrive(0)

        assert offsets(leases(await at_a)) == [(0, 0)]
        assert trio.ends["a", "c"].dropped
        for one in stuck:
            one.cancel()

    async def test_a_large_answer_and_what_is_behind_it_have_longer_for_the_way(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(answering, "LOAN", 0.05)
        monkeypatch.setattr(answering, "_SLOWEST", 20)  # an answer has some 200 bytes
        pulling = [trio.c.pulling(name) for name in ("C", "D")]
        await until(lambda: trio.a.waits() == 2)
        trio.ends["a", "c"].delay()
        await trio.a.arrive(0, 1)

        assert await trio.a.pull("A", wait=4 * answering.LOAN) is Empty.NO_MESSAGE
        trio.ends["a", "c"].flow()
        got = [await one for one in pulling]
        for answer in got:
            assert isinstance(answer, Relayed)
            answer.confirm()
        assert sorted(offset for answer in got for _, offset in offsets(leases(answer))) == [0, 1]
        await until(lambda: not trio.a.runtime.exchange.answering.on_loan())

    async def test_one_that_is_being_written_for_long_stays_on_loan(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("answering", "relayed"):
            monkeypatch.setattr(f"fanout_app.cluster.{module}.LOAN", 0.08)
        answer = await relayed(trio)
        with answer.held():
            held = trio.ends["c", "a"].sent
            await until(lambda: sum(isinstance(frame, Hold) for frame in held) > 8)  # twice as long as the loan
        answer.confirm()

        assert await trio.a.pull("A", wait=0.0) is Empty.NO_MESSAGE

    async def test_an_answer_that_was_held_up_on_the_way_is_not_good(
        self, trio: Trio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fanout_app.cluster.relayed.LOAN", 0.02)
        answer = await relayed(trio)
        assert answer.good

        await until(lambda: not answer.good)
        answer.give_back()


async def test_a_worker_alone_serves_its_own_clients(trio: Trio) -> None:
    for end in list(trio.ends.values()):
        end.lose()
    pulling = trio.a.pulling("A")
    await until(lambda: trio.a.waits())
    await trio.a.arrive(0)

    answer = await pulling

    assert isinstance(answer, Answer)


async def test_a_partition_is_not_given_up_before_what_is_under_way_has_arrived(trio: Trio) -> None:
    """Else the lease of a client that has the message by now would not be handed over."""
    answer = await relayed(trio)
    giving_up = asyncio.create_task(trio.a.runtime.give_up())
    await asyncio.sleep(0)

    answer.confirm()

    await giving_up
    assert [run.client for run in trio.a.kafka.rows[0][-1].handed_over] == ["C"]


async def test_what_does_not_arrive_is_not_waited_for(trio: Trio) -> None:
    answer = await relayed(trio)

    await trio.a.runtime.give_up()

    assert not trio.a.kafka.rows[0][-1].handed_over
    answer.give_back()


async def test_an_answer_that_came_while_the_process_was_stopped_is_not_handed_to_the_client(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks new when it is read; its owner has taken the messages back long ago."""
    telling = asyncio.create_task(trio.c.runtime.exchange.keep_telling())
    pulling = trio.c.pulling("far")
    await until(lambda: trio.ends["c", "a"].sent)
    trio.ends["a", "c"].delay()
    await trio.a.arrive(0)
    await until(lambda: trio.ends["a", "c"].delayed)
    monkeypatch.setattr("fanout_app.cluster.exchange.monotonic", lambda: monotonic() + 5.0)
    trio.ends["a", "c"].flow()

    await until(lambda: trio.ends["c", "a"].dropped)

    assert not pulling.done()
    await until(lambda: not trio.a.queue.answers)
    for task in (pulling, telling):
        task.cancel()
