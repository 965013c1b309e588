"""A pull that is sent again finds what it was answered with, whichever worker is asked this time."""

from __future__ import annotations

import asyncio

import pytest

from fanout_app.cluster.relayed import Relayed
from fanout_app.core.lease import Answer
from fanout_app.core.requests import Empty, LeaseRef, Pull
from unit.cluster.conftest import Trio
from unit.cluster.wire import Member, in_body, refs
from unit.fake_ports import LONG, until


async def asked(member: Member, *, again: bool = True, wait: float = LONG) -> Answer | Relayed | Empty:
    pull = Pull(client="C", max_messages=2, receive_id="once", again=again)
    return await member.runtime.pull(pull, wait=wait)


def leases(answer: Answer | Relayed | Empty) -> list[LeaseRef]:
    assert not isinstance(answer, Empty)
    return in_body(answer) if isinstance(answer, Relayed) else refs(answer)


async def lost(trio: Trio, at: Member) -> list[LeaseRef]:
    """Two messages of a have gone to a client of a worker, which never got them."""
    await trio.a.arrive(0, 1)
    answer = await asked(at, again=False)
    if isinstance(answer, Relayed):
        answer.confirm()
    await until(lambda: not any(member.waits() for member in trio.members))
    return leases(answer)


@pytest.mark.parametrize("first", "ac")
@pytest.mark.parametrize("then", "abc")
async def test_it_is_found_from_every_worker(trio: Trio, first: str, then: str) -> None:
    gave = await lost(trio, getattr(trio, first))
    await trio.b.arrive(0, number=1)

    assert leases(await asked(getattr(trio, then))) == gave


async def test_without_a_word_that_it_is_a_repeat_the_owner_finds_it_too(trio: Trio) -> None:
    gave = await lost(trio, trio.c)
    assert leases(await asked(trio.a, again=False)) == gave


async def test_what_is_found_nowhere_is_a_pull_like_any_other(trio: Trio) -> None:
    pulling = asyncio.create_task(asked(trio.c))
    await until(lambda: trio.a.waits() and trio.b.waits())
    await trio.b.arrive(7, number=1)
    assert [(ref.partition, ref.offset) for ref in leases(await pulling)] == [(1, 7)]


async def test_it_waits_no_longer_than_it_was_to(trio: Trio) -> None:
    assert await asked(trio.c, wait=0.0) is Empty.NO_MESSAGE
    assert [member.waits() for member in trio.members] == [0, 0, 0]


async def test_the_loss_of_the_worker_that_was_asked_first_takes_nothing_from_who_has_it_now(trio: Trio) -> None:
    await trio.a.arrive(0, 1)
    first = await asked(trio.c, again=False)
    second = await asked(trio.b)
    assert isinstance(second, Relayed)
    assert leases(second) == leases(first)

    trio.ends["a", "c"].lose()
    second.confirm()
    await until(lambda: not trio.a.runtime.exchange.answering.on_loan())

    assert len(trio.a.queue.partitions[0].in_flight) == 2
    assert trio.a.queue.counters.released == 0


async def test_nor_does_its_word_that_the_client_has_gone(trio: Trio) -> None:
    await trio.a.arrive(0, 1)
    first = await asked(trio.c, again=False)
    assert isinstance(first, Relayed)
    await asked(trio.a)
    first.give_back()
    sent = len(trio.ends["c", "a"].sent)
    await until(lambda: len(trio.ends["c", "a"].sent) >= sent)
    await asyncio.sleep(0)
    assert len(trio.a.queue.partitions[0].in_flight) == 2


async def test_a_worker_that_may_own_nothing_any_more_answers_with_nothing(trio: Trio) -> None:
    await lost(trio, trio.a)
    trio.a.terms.confirmed = False
    assert await asked(trio.a, wait=0.0) is Empty.NO_MESSAGE
