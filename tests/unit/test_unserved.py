"""What status says where messages wait that the shares keep from who is there."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fanout_app import overview
from support.messages import FakeMessage
from unit.core.desk import Desk

NOBODY = "all weights are 0: nobody is handed anything"
STABLES = "messages wait for the group stable, of which no client is alive; nobody else is given its share"


@pytest.mark.parametrize(
    ("weights", "here", "elsewhere", "said"),
    [
        ({"stable": 0, "canary": 0}, "stable", set(), [NOBODY]),
        ({}, None, set(), [NOBODY]),
        ({"stable": 95, "canary": 5}, "canary", set(), [STABLES]),
        ({"stable": 95, "canary": 5}, "canary", {"stable"}, []),
        ({"stable": 95, "canary": 5}, "stable", set(), []),
        ({"stable": 95, "canary": 5}, None, {"canary"}, [STABLES]),
        ({"stable": 95, "canary": 5}, None, set(), []),
        # One without any weight waits.
        ({"stable": 95}, "canary", set(), [STABLES]),
        ({"canary": 5}, "canary", set(), []),
    ],
)
def test_it_names_what_messages_wait_for(
    weights: Mapping[str, int], here: str | None, elsewhere: set[str], said: list[str]
) -> None:
    desk = Desk()
    desk.queue.set_weights(weights)
    desk.queue.sharing.alive_elsewhere = elsewhere
    if here:
        desk.wait("A", group=here)
    desk.fetch(*range(100))
    desk.serve()
    assert overview.unserved(desk.queue, desk.now) == said


def test_by_key_nothing_is_said_where_all_that_waits_is_that_of_who_is_there() -> None:
    desk = Desk()
    desk.queue.set_weights({"stable": 1, "canary": 1_000_000}, "key")
    desk.wait("C", group="canary")
    desk.queue.offer(0, 0, 2, [FakeMessage(0, key=b"a"), FakeMessage(1, key=b"b")])
    assert desk.serve() == [("C", [0])]
    assert desk[0].fresh
    assert overview.unserved(desk.queue, desk.now) == []
    desk.queue.offer(0, 2, 3, [FakeMessage(2)])
    assert overview.unserved(desk.queue, desk.now) == [STABLES]
