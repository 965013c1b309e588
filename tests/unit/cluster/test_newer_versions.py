"""A worker of a newer version says words that this one does not know: it takes the nearest meaning, and nobody ends."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from fanout_app.cluster.frames import Demand, Frame, Nothing, Question, Reply, Settled, SettleDemand, SettleEntry
from fanout_app.core.requests import Empty, Status
from unit.cluster.conftest import Trio
from unit.cluster.wire import End
from unit.fake_ports import until

F = TypeVar("F", bound=Frame)


async def asked(end: End, kind: type[F]) -> F:
    """The last frame of this kind that was sent here, once there is one."""
    await until(lambda: any(isinstance(frame, kind) for frame in end.sent))
    return [frame for frame in end.sent if isinstance(frame, kind)][-1]


async def test_a_reason_for_nothing_that_is_not_known_is_no_message(trio: Trio) -> None:
    for name in "ab":
        trio.ends["c", name].delay()
    pulling = trio.c.pulling("C", wait=1.0)
    for name in "ab":
        end = trio.ends["c", name]
        demand = await asked(end, Demand)
        trio.c.runtime.exchange.received(end, Nothing(demand.number, "the moon is full"))

    assert await pulling is Empty.NO_MESSAGE


async def test_a_status_that_is_not_known_is_to_be_sent_again(trio: Trio) -> None:
    end = trio.ends["c", "a"]
    await trio.a.arrive(0)
    held = await trio.a.pull("A")
    assert not isinstance(held, Empty)
    end.delay()
    settling = asyncio.create_task(trio.c.settle(ack=held))
    demand = await asked(end, SettleDemand)
    lease = tuple(held[0])
    trio.c.runtime.exchange.received(end, Settled(demand.number, 0, 0, 0, 0, ((lease, "half done"),), ()))

    assert (await settling).results == [(held[0], Status.RETRY)]


async def test_a_lease_of_a_form_that_is_not_known_is_an_unknown_one_and_spoils_no_other(trio: Trio) -> None:
    await trio.a.arrive(0)
    held = await trio.a.pull("A")
    assert not isinstance(held, Empty)
    back = trio.ends["a", "c"]
    known = SettleEntry("known", tuple(held[0]))
    for strange in ((0,), (0, 0, 0), (0, 0, 0, 1, 1, 1)):
        trio.a.runtime.exchange.received(
            back, SettleDemand(7, (), (), (), (SettleEntry("strange", strange), known), True)
        )
        outcome = await asked(back, Settled)
        assert ("strange", Status.LEASE_UNKNOWN.value) in outcome.results
        back.sent.clear()
    assert trio.a.queue.partitions[0].ledger.floor == 1


async def test_a_question_that_cannot_be_read_is_answered_so(trio: Trio) -> None:
    back = trio.ends["a", "c"]
    for how in (b"", b"\xc1", b"\xa1\xff", b"\x91" * 100_000):
        for what in ("seek", "leave", "leases", "lease", "nonsense"):
            trio.a.runtime.exchange.received(back, Question(9, what, how))
            reply = await asked(back, Reply)
            assert reply.number == 9
            back.sent.clear()
    assert trio.a.faults == []
