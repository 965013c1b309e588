"""Of many clients those are shown that hold or wait for most, and of others those heard of last."""

from __future__ import annotations

from fanout_app import overview
from unit.core.desk import Desk, lease


def shown(desk: Desk, most: int | None = None) -> set[str]:
    return {row["client"] for row in overview.clients(desk.queue, {}, desk.now, most)}


def test_those_that_do_most_are_shown() -> None:
    desk = Desk()
    desk.fetch(*range(6))
    desk.ack(lease(desk.pull("done")))
    desk.pass_time(1.0)
    desk.ack(lease(desk.pull("just done")))
    desk.pull("holds two", 2)
    desk.pull("holds one", 1)
    desk.pull("takes the rest", 1)
    for _ in range(3):
        desk.wait("waits thrice")
    assert shown(desk) == {"done", "just done", "holds two", "holds one", "takes the rest", "waits thrice"}
    assert shown(desk, 6) == shown(desk)
    assert shown(desk, 5) == shown(desk) - {"done"}
    assert shown(desk, 2) == {"waits thrice", "holds two"}
    assert shown(desk, 1) == {"waits thrice"}
    assert shown(desk, 0) == set()
