"""Shares by key as the dispatcher does them."""

from __future__ import annotations

from collections import Counter

from fanout_app.core.fresh import Fresh
from fanout_app.core.lanes import Lanes
from fanout_app.core.requests import Status
from support.messages import FakeMessage
from unit.core.desk import Desk, lease

BOTH = {"stable": 50, "canary": 50}


def keyed(count: int, *, keys: int = 8) -> Desk:
    """A desk that shares by key, with so many messages of so many keys."""
    desk = Desk()
    desk.queue.set_weights(BOTH, "key")
    offer(desk, count, keys=keys)
    return desk


def offer(desk: Desk, count: int, *, keys: int) -> None:
    first = desk[0].next_offset
    found = [FakeMessage(offset, key=b"key %d" % (offset % keys)) for offset in range(first, first + count)]
    assert desk.queue.offer(0, first, first + count, found)


def mine(desk: Desk, group: str, keys: int, *, of: int) -> list[int]:
    """The offsets whose key is this group's."""
    lanes = Lanes(desk.queue.sharing.weights, (), "key")
    return [offset for offset in range(of) if lanes.group_of(b"key %d" % (offset % keys)) == group]


def test_each_group_is_given_all_of_its_keys_whatever_the_other_one_does() -> None:
    desk = keyed(40)
    desk.wait("C", 100, group="canary")
    desk.wait("C", 100, group="canary")
    desk.wait("S", 3)
    canarys, stables = (mine(desk, group, 8, of=40) for group in ("canary", "stable"))
    assert 5 <= len(canarys) <= 35
    assert desk.serve() == [("C", canarys), ("S", stables[:3])]
    # All that is left is stable's, which is busy.
    assert desk.serve() == []
    assert len(desk[0].fresh) == len(stables) - 3


def test_keys_of_who_is_away_are_stables_until_it_is_back() -> None:
    desk = keyed(40)
    desk.wait("S", 5)
    assert desk.serve() == [("S", [0, 1, 2, 3, 4])]
    desk.wait("C", 100, group="canary")
    desk.wait("S", 100)
    canarys = mine(desk, "canary", 8, of=40)
    served = dict(desk.serve())
    assert served["C"] == [offset for offset in canarys if offset > 4]
    assert sorted(served["C"] + served["S"]) == [*range(5, 40)]


def test_its_messages_wait_for_a_group_for_as_long_as_it_is_alive_anywhere() -> None:
    desk = keyed(40)
    desk.queue.sharing.alive_elsewhere = {"canary"}
    desk.wait("S", 100)
    stables = mine(desk, "stable", 8, of=40)
    assert desk.serve() == [("S", stables)]
    desk.wait("S", 100)
    assert desk.serve() == []
    desk.queue.sharing.alive_elsewhere = set()
    assert desk.serve() == [("S", mine(desk, "canary", 8, of=40))]


def test_other_weights_and_another_way_lay_out_anew_what_waits() -> None:
    desk = keyed(40)
    desk.wait("C", 100, group="canary")
    desk.queue.sharing.alive_elsewhere = {"stable"}
    desk.queue.set_weights({"stable": 100, "canary": 0}, "key")
    assert desk.serve() == []
    desk.queue.set_weights({"canary": 1}, "key")
    assert desk.serve() == [("C", [*range(40)])]
    offer(desk, 40, keys=8)
    desk.wait("C", 1, group="canary")
    desk.queue.set_weights({"stable": 1, "canary": 1000}, "message")
    assert desk.serve() == [("C", [40])]
    desk.queue.set_weights({"stable": 100}, "message")
    desk.wait("S", 100)
    assert desk.serve() == [("S", [*range(41, 80)])]


def test_what_a_canary_fails_is_stables_by_key_too() -> None:
    desk = keyed(8)
    pulls = desk.wait("C", 1, group="canary"), desk.wait("D", 8, group="canary")
    desk.serve()
    failed = lease(desk.answers[pulls[0]])
    assert desk.nack(failed) is Status.DONE
    desk.wait("C", 8, group="canary")
    desk.queue.sharing.alive_elsewhere = {"stable"}
    assert desk.serve() == []
    desk.wait("S", 1)
    assert desk.serve() == [("S", [failed.offset])]


def test_messages_without_a_key_go_by_turn_after_what_is_a_groups_own() -> None:
    desk = keyed(0)
    assert desk.queue.offer(
        0, 0, 101, [*(FakeMessage(offset) for offset in range(100)), FakeMessage(100, key=b"key 0")]
    )
    desk.queue.set_weights({"stable": 90, "canary": 10}, "key")
    had: Counter[str] = Counter()
    for client in ("S", "C"):
        desk.wait(client, group="stable" if client == "S" else "canary")
    served: list[int] = []
    while handouts := desk.serve():
        for client, offsets in handouts:
            had[client] += offsets != [100]
            served += offsets
            desk.wait(client, group="stable" if client == "S" else "canary")
    assert had == {"S": 90, "C": 10}
    assert served.index(100) < 2


def test_what_was_a_groups_own_is_not_counted_and_nothing_is_given_back_for_it() -> None:
    desk = keyed(400)
    desk.queue.set_weights({"stable": 40, "canary": 60}, "key")
    pull = desk.wait("C", 400, group="canary")
    desk.queue.sharing.alive_elsewhere = {"stable"}
    desk.serve()
    desk.queue.release(desk.answers[pull], desk.now)
    assert desk.queue.offer(0, 400, 500, [FakeMessage(offset) for offset in range(400, 500)])
    desk.wait("C", 400, group="canary")
    desk.serve()
    # Nothing is owed to it but by the messages that come by turn.
    desk.wait("C", 400, group="canary")
    assert [len(offsets) for _, offsets in desk.serve()] == [1]


def test_what_a_canary_has_failed_stays_stables_when_it_comes_back_from_stable_uncounted() -> None:
    desk = Desk()
    desk.queue.set_weights({"stable": 1, "canary": 9})
    desk.fetch(0)
    desk.wait("c", group="canary")
    desk.wait("s", group="stable")
    canary = desk.queue.serve(desk.now)[0].answer
    assert canary.group == "canary", "else the test shows nothing"
    desk.nack(lease(canary))
    stable = desk.queue.serve(desk.now)[0].answer
    assert stable.group == "stable"
    desk.queue.release(stable, desk.now)
    desk.wait("d", group="canary")
    assert desk.queue.serve(desk.now) == []
    desk.wait("s", group="stable")
    assert [answer.group for _, answer in desk.queue.serve(desk.now)] == ["stable"]


def test_lanes_may_be_laid_where_nothing_waits() -> None:
    fresh = Fresh()
    lanes = Lanes({"stable": 1, "canary": 1}, ("stable", "canary"), "key")
    fresh.lay(lanes)
    assert (len(fresh), list(fresh.lanes)) == (0, [])
    message = FakeMessage(1, key=b"1")
    fresh.add([message])
    assert list(fresh.lanes) == [lanes.group_of(b"1")], "and what comes then waits in them"
