"""What is answered without waiting, which nothing at another worker is."""

from __future__ import annotations

import pytest

from fanout_app.cluster.frames import State
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, Entry, LeaseRef, Pull, Settle
from unit.cluster.conftest import Trio
from unit.cluster.wire import Member
from unit.scene import Scene


async def held(owner: Member, number: int) -> Entry:
    """A message that a client has."""
    await owner.arrive(0, number=number)
    leases = await owner.pull(f"of {number}")
    assert not isinstance(leases, Empty)
    (lease,) = leases
    assert isinstance(lease, LeaseRef)
    return Entry(token=str(number), ref=lease)


def floors(trio: Trio) -> list[int]:
    return [trio.a.queue.partitions[0].ledger.floor, trio.b.queue.partitions[1].ledger.floor]


@pytest.mark.parametrize("others", [True, False], ids=["of another worker alone", "of both"])
async def test_a_settle_of_what_another_worker_owns_is_not_begun_here(trio: Trio, others: bool) -> None:
    at_a, at_b = await held(trio.a, 0), await held(trio.b, 1)
    assert trio.a.runtime.begin_settle(Settle(ack=[at_b] if others else [at_a, at_b])) is None
    assert floors(trio) == [0, 0]


async def test_nor_is_one_at_a_worker_that_owns_nothing(trio: Trio) -> None:
    at_a = await held(trio.a, 0)
    assert trio.c.runtime.begin_settle(Settle(ack=[at_a])) is None


async def test_a_settle_of_what_is_here_is_begun_and_its_row_written(trio: Trio) -> None:
    begun = trio.a.runtime.begin_settle(Settle(ack=[await held(trio.a, 0)]))
    assert begun is not None
    assert floors(trio) == [1, 0]
    assert (await begun.written()).acked == 1
    assert trio.a.kafka.rows[0][-1].floor == 1


async def test_where_far_more_wait_elsewhere_nothing_is_handed_out_before_that_is_asked_for(trio: Trio) -> None:
    await trio.a.arrive(0)
    routes, at_b = trio.a.runtime.exchange.routes, trio.ends["a", "b"]
    routes.told(at_b, State((1,), 1, 1 << 40))
    assert trio.a.runtime.pull_at_once(Pull(client="A"), anonymous=False) is None
    routes.told(at_b, State((1,), 1, 1))
    answer = trio.a.runtime.pull_at_once(Pull(client="A"), anonymous=False)
    assert isinstance(answer, Answer)


async def test_who_finds_nothing_does_not_wait(scene: Scene) -> None:
    assert scene.runtime.pull_at_once(Pull(client="A"), anonymous=False) is None
    assert len(scene.runtime.queue.pulls) == 0
    await scene.arrive(0)
    assert await scene.pull("B") == [0]
