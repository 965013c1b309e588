"""Messages that come again, and what looking for them costs."""

from __future__ import annotations

from fanout_app.core.redelivery import Returned, Returns
from support.messages import FakeMessage


class Counted(int):
    """An offset that counts how often it is compared: each look at it by the heap is one."""

    compared = 0

    def __lt__(self, other: int) -> bool:
        Counted.compared += 1
        return int(self) < int(other)


def returned(*offsets: int, by: str | None = None, until: float = 0.0) -> Returns:
    returns = Returns()
    for offset in offsets:
        returns.add(Returned(FakeMessage(offset), by, until))
    return returns


def take(returns: Returns, client: str, *, now: float = 0.0, limit: int = 10, others_wait: bool = False) -> list[int]:
    return [message.offset for message in returns.take(client, now, limit, 1000, others_wait=others_wait)]


def test_it_is_a_collection_of_offsets() -> None:
    returns = returned(5, 3)
    assert (len(returns), sorted(returns), 5 in returns, 4 in returns) == (2, [3, 5], True, False)
    assert returns.discard(4) is None


def test_one_that_was_settled_meanwhile_is_passed_over() -> None:
    returns = returned(1, 2, 3)
    returns.discard(1)
    assert take(returns, "A") == [2, 3]
    assert take(returns, "A") == []


def test_who_failed_them_has_them_when_the_time_is_over_and_nobody_else_waits() -> None:
    returns = returned(1, 2, by="A", until=1.0)
    assert take(returns, "A", now=0.9) == []
    assert take(returns, "A", now=1.0, others_wait=True) == []
    assert take(returns, "A", now=1.0, limit=1) == [1]
    assert take(returns, "B", now=0.0) == [2]


def test_who_failed_all_of_a_thousand_does_not_look_at_each_of_them() -> None:
    returns = returned(*map(Counted, range(1000)), by="A", until=1.0)
    Counted.compared = 0
    for _ in range(100):
        assert take(returns, "A", now=0.5) == []
        assert take(returns, "A", now=1.5, others_wait=True) == []
    assert Counted.compared == 0


def test_it_does_look_after_the_first_of_them_is_free_and_then_knows_the_next_time() -> None:
    returns = returned(*map(Counted, range(1, 1000)), by="A", until=2.0)
    returns.add(Returned(FakeMessage(0), "A", 1.0))
    returns.discard(0)
    assert take(returns, "A", now=1.5) == []
    Counted.compared = 0
    assert take(returns, "A", now=1.6) == []
    assert Counted.compared == 0
    assert len(take(returns, "A", now=2.0, limit=2000)) == 999


def doubted(returns: Returns, *, now: float, only_of: str | None = None) -> list[int]:
    """What one that is in doubt and has failed none of these is handed."""
    taken = returns.take("in doubt", now, 10, 1000, in_doubt=True, only_of=only_of)
    return [message.offset for message in taken]


def test_one_in_doubt_waits_for_each_and_its_next_look_is_at_the_time_of_the_first() -> None:
    returns = returned(*map(Counted, range(1, 1000)), by="A", until=2.0)
    returns.add(Returned(FakeMessage(0), "A", 1.0))
    returns.discard(0)
    assert doubted(returns, now=1.5) == []
    Counted.compared = 0
    assert doubted(returns, now=1.6) == []
    assert Counted.compared == 0, "it knows that none is free before 2.0"
    assert len(doubted(returns, now=2.0)) == 10


def test_one_that_stands_back_is_handed_what_the_one_that_comes_first_is_barred_from() -> None:
    returns = returned(1, 3, by="A")
    returns.add(Returned(FakeMessage(2), "B", 0.0))
    assert doubted(returns, now=1.0, only_of="C") == []
    assert doubted(returns, now=1.0, only_of="A") == [1, 3]
    assert doubted(returns, now=1.0, only_of="B") == [2]
