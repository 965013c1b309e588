"""Who owns what, and who is asked first, by what the other workers tell."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import count

import pytest

from fanout_app.cluster.frames import Frame, State
from fanout_app.cluster.routes import Routes
from fanout_app.core.dispatcher import Dispatcher, Limits
from fanout_app.core.ledger import LedgerSnapshot


class Other:
    """Another worker."""

    def __init__(self, name: str) -> None:
        self.name = name

    def send(self, frame: Frame) -> None:
        raise AssertionError

    def drop(self) -> None:
        raise AssertionError


A, B = Other("a"), Other("b")
OURS = 5


@pytest.fixture
async def routes() -> Routes:
    """Partition 9 is ours, in generation 5."""
    dispatcher = Dispatcher(Limits(), new_batch=count(1).__next__, jitter=lambda: 0.0)
    dispatcher.assign(9, LedgerSnapshot())
    return Routes(dispatcher, lambda: OURS, chance=random.Random(1).random)


async def test_of_two_that_claim_a_partition_the_later_generation_has_it(routes: Routes) -> None:
    routes.told(A, State((0, 1), 5, 0))
    routes.told(B, State((1, 2), 4, 0))

    assert [routes.owner(number) for number in range(4)] == [A, A, B, None]


@pytest.mark.parametrize(("generation", "owner"), [(OURS - 1, None), (OURS, None), (OURS + 1, A)])
async def test_ours_is_ours_until_somebody_has_it_in_a_later_generation(
    routes: Routes, generation: int, owner: Other | None
) -> None:
    routes.told(A, State((9,), generation, 0))

    assert routes.owner(9) is owner


async def test_a_worker_that_is_lost_owns_nothing(routes: Routes) -> None:
    routes.told(A, State((0,), 5, 7))
    routes.lost(A)

    assert routes.owner(0) is None
    assert routes.turn(0) == []
    assert not routes


async def test_who_waits_for_a_change_learns_of_one_and_of_no_other_news(routes: Routes) -> None:
    routes.told(A, State((0,), 5, 0))
    waiting = asyncio.create_task(routes.change(60.0))
    await asyncio.sleep(0)
    routes.told(A, State((0,), 5, 100))
    await asyncio.sleep(0)
    assert not waiting.done()

    routes.told(A, State((0, 1), 5, 100))

    await waiting


async def test_each_is_asked_first_as_often_as_its_share_of_what_waits(routes: Routes) -> None:
    routes.told(A, State((0,), 5, 600))
    routes.told(B, State((1,), 5, 300))

    first = Counter(routes.turn(100)[0] for _ in range(10_000))

    assert all(abs(first[place] - share) < 200 for place, share in ((A, 6000), (B, 3000), (None, 1000)))
    assert {frozenset(routes.turn(100)) for _ in range(10)} == {frozenset((A, B, None))}


@pytest.mark.parametrize(("here", "firsts"), [(300, {None}), (299, {None, A, B}), (900, {None})])
async def test_ours_come_first_unless_twice_as_many_wait_elsewhere(
    routes: Routes, here: int, firsts: set[Other | None]
) -> None:
    routes.told(A, State((0,), 5, 600))
    routes.told(B, State((1,), 5, 600))
    turns = [routes.turn(here) for _ in range(200)]
    assert {turn[0] for turn in turns} == firsts
    assert {frozenset(turn) for turn in turns} == {frozenset((A, B, None))}
    assert {turn[1] for turn in turns if turn[0] is None} >= {A, B}, "the others by chance"


async def test_who_has_nothing_is_not_asked(routes: Routes) -> None:
    routes.told(A, State((0,), 5, 10))
    routes.told(B, State((1,), 5, 0))
    assert routes.turn(0) == [A]

    routes.took(A, 4)
    assert routes.turn(0) == [A]
    routes.took(A, 6)
    assert routes.turn(0) == []

    routes.told(A, State((0,), 5, 10))
    routes.emptied(A)
    assert routes.turn(3) == [None]
