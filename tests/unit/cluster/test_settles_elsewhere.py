"""A settle at any worker reaches the owner of each message, and is answered with what came of it there."""

from __future__ import annotations

import asyncio

import pytest

from fanout_app.cluster.frames import Settled
from fanout_app.core.requests import BatchRef, Empty, LeaseRef, Status
from fanout_app.settles import MOVING
from unit.cluster.conftest import Trio
from unit.cluster.wire import Member
from unit.fake_ports import until


async def held(owner: Member, number: int, *offsets: int, client: str = "A") -> list[LeaseRef]:
    await owner.arrive(*offsets, number=number)
    some = await owner.pull(client, len(offsets))
    assert not isinstance(some, Empty)
    return some


async def test_an_ack_at_a_spare_settles_at_the_owner(trio: Trio) -> None:
    (lease,) = await held(trio.a, 0, 0)

    outcome = await trio.c.settle(ack=[lease])

    assert (outcome.acked, outcome.results) == (1, [])
    assert trio.a.kafka.rows[0][-1].floor == 1


async def test_each_entry_goes_to_its_owner(trio: Trio) -> None:
    at_a, at_b = await held(trio.a, 0, 0, 1), await held(trio.b, 1, 0, 1)

    outcome = await trio.a.settle(ack=[at_a[0], at_b[0]], nack=[at_b[1]], extend=[at_a[1]])

    assert (outcome.acked, outcome.nacked, outcome.extended) == (2, 1, 1)
    assert trio.a.queue.partitions[0].ledger.floor == trio.b.queue.partitions[1].ledger.floor == 1
    assert list(trio.b.queue.partitions[1].returned) == [1]


async def test_a_batch_is_acked_at_the_worker_that_gave_it(trio: Trio) -> None:
    leases = await held(trio.b, 1, 0, 1, 2)

    outcome = await trio.c.settle(nack=[leases[0]], ack=[BatchRef(1, leases[0].batch)])

    assert (outcome.acked, outcome.nacked) == (2, 1)
    assert outcome.results == [(leases[0], Status.NOT_IN_BATCH)]


async def test_what_is_no_token_of_ours_spoils_nothing(trio: Trio) -> None:
    (lease,) = await held(trio.a, 0, 0)

    outcome = await trio.c.settle(ack=[None, lease])

    assert (outcome.acked, outcome.results) == (1, [("None", Status.LEASE_UNKNOWN)])


async def test_an_answer_that_is_not_durable_comes_before_the_write(trio: Trio) -> None:
    (lease,) = await held(trio.a, 0, 0)
    writing = trio.a.kafka.hold("write_row")

    outcome = await trio.c.settle(durable=False, ack=[lease])

    assert outcome.acked == 1
    writing.go_on()


async def test_a_message_that_has_moved_is_settled_at_its_new_owner(trio: Trio) -> None:
    """The asked one thinks that it is where it was; who has it no more says so."""
    (lease,) = await held(trio.a, 0, 0)
    trio.ends["a", "c"].delay()
    await trio.a.own(generation=5)
    settling = asyncio.create_task(trio.c.settle(ack=[lease]))
    await until(lambda: trio.ends["c", "a"].sent)
    await trio.b.own(0, 1, generation=5)
    trio.ends["a", "c"].flow()

    outcome = await settling

    assert outcome.acked == 1
    assert trio.b.kafka.rows[0][-1].floor == 1


async def test_one_whose_owner_is_not_known_waits_for_it(trio: Trio) -> None:
    settling = asyncio.create_task(trio.c.settle(ack=[LeaseRef(2, 0, 7, 1, 1)]))
    await asyncio.sleep(0)

    await trio.a.own(0, 2)

    outcome = await settling
    assert outcome.results == [(str(LeaseRef(2, 0, 7, 1, 1)), Status.LATE)]


async def test_one_that_gets_no_owner_is_to_be_sent_again(trio: Trio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fanout_app.cluster.settling.MOVING", 0.05)
    lease = LeaseRef(2, 0, 7, 1, 1)

    outcome = await trio.c.settle(ack=[lease])

    assert outcome.results == [(str(lease), Status.RETRY)]


async def test_an_owner_that_is_found_late_and_hangs_makes_nobody_wait_for_longer(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a settle waits for 5 s, whatever of that is spent on finding the owner."""
    now = 100.0
    monkeypatch.setattr("fanout_app.cluster.settling.monotonic", lambda: now)
    lease = LeaseRef(2, 0, 7, 1, 1)
    settling = asyncio.create_task(trio.c.settle(ack=[lease]))
    await asyncio.sleep(0)
    now += MOVING - 0.2
    trio.ends["c", "a"].delay()
    began = asyncio.get_running_loop().time()
    await trio.a.own(0, 2)

    outcome = await settling

    assert outcome.results == [(str(lease), Status.RETRY)]
    assert asyncio.get_running_loop().time() - began < MOVING


async def test_what_was_sent_to_a_worker_that_is_lost_is_to_be_sent_again(trio: Trio) -> None:
    (at_a,), (at_b,) = await held(trio.a, 0, 0), await held(trio.b, 1, 0)
    writing = trio.a.kafka.hold("write_row")
    settling = asyncio.create_task(trio.c.settle(ack=[at_a, at_b]))
    await writing.reached()

    trio.ends["c", "a"].lose()

    outcome = await settling
    assert (outcome.acked, outcome.results) == (1, [(str(at_a), Status.RETRY)])
    writing.go_on()


async def test_an_answer_is_taken_from_the_worker_that_was_asked_only(trio: Trio) -> None:
    (lease,) = await held(trio.a, 0, 0)
    trio.ends["a", "c"].delay()
    settling = asyncio.create_task(trio.c.settle(ack=[lease]))
    await until(lambda: trio.a.queue.partitions[0].ledger.floor == 1)

    trio.c.runtime.exchange.received(trio.ends["c", "b"], Settled(1, 0, 0, 0, 0, (), ()))

    await asyncio.sleep(0)
    assert not settling.done()
    trio.ends["a", "c"].flow()
    assert (await settling).acked == 1
