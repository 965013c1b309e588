"""Whose turn it is and what ends next, beside a list that is sorted every time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.lease import Deadlines
from fanout_app.core.rotation import Rotation


@dataclass(slots=True, eq=False)
class Item:
    deadline: float
    live: int = 1


times = st.integers(0, 50).map(float)
which = st.integers(0, 30)
deadline_steps = st.lists(st.tuples(st.sampled_from(("add", "add", "end", "move", "pass")), which, times), max_size=80)


@given(deadline_steps, st.sampled_from((2, 4, 1024)))
def test_deadlines_come_in_order_and_only_what_lives(steps: list[tuple[str, int, float]], small: int) -> None:
    deadlines: Deadlines[Item] = Deadlines()
    deadlines._SMALL = deadlines._full = small
    items: list[Item] = []
    for step, number, at in steps:
        if step == "add":
            items.append(Item(at))
            deadlines.add(items[-1])
        elif step == "pass":
            found = []
            for item in deadlines.due(at):
                found.append(item.deadline)
                item.live = 0
            due = [item for item in items if item.deadline <= at and item.live]
            assert not due
            assert found == sorted(found)
            items = [item for item in items if item.live]
        elif items:
            item = items[number % len(items)]
            if step == "move":
                item.deadline = at
                deadlines.add(item)
                else:
                item.live = 0
                items.remove(item)
        assert deadlines.next() == min((item.deadline for item in items), default=None)


@given(st.lists(times, min_size=1, max_size=40))
def test_each_comes_once(at: list[float]) -> None:
    deadlines: Deadlines[Item] = Deadlines()
    items = [Item(one) for one in at]
    for item in items:
        deadlines.add(item)
    came = []
    for item in deadlines.due(25.0):
        item.live = 0
        came.append(item)
    assert sorted(map(id, came)) == sorted(id(item) for item in items if item.deadline <= 25.0)


def test_ended_deadlines_do_not_pile_up() -> None:
    deadlines: Deadlines[Item] = Deadlines()
    living = [Item(1e6) for _ in range(3000)]
    for item in living:
        deadlines.add(item)
    for number in range(100_000):
        ended = Item(float(number))
        deadlines.add(ended)
        ended.live = 0
    assert len(deadlines) <= 2 * len(living) + 1


clients = st.sampled_from("ABCDE")
rotation_steps = st.lists(
    st.tuples(
        st.sampled_from(("wait", "wait", "wait", "serve", "serve", "stop", "leave", "bench", "unbench")), clients
    ),
    max_size=80,
)


@given(rotation_steps)
def test_next_is_the_next_in_order_of_joining_among_who_waits(steps: list[tuple[str, str]]) -> None:
    rotation = Rotation()
    places: dict[str, int] = {}
    hands: dict[str, list[int]] = {client: [] for client in "ABCDE"}
    benched: set[str] = set()
    joins, pulls, last = count(1), count(1), 0
    for step, client in steps:
        if step == "wait":
            hands[client].append(next(pulls))
            places.setdefault(client, 0)
            places[client] = places[client] or next(joins)
            rotation.wait(client, hands[client][-1])
        elif step == "stop" and hands[client]:
            rotation.stop_waiting(client, hands[client].pop())
        elif step == "leave" and not hands[client]:
            places.pop(client, None)
            benched.discard(client)
            rotation.leave(client)
        elif step == "bench":
            benched.add(client)
            rotation.bench(client)
        elif step == "unbench":
            benched.discard(client)
            rotation.unbench(client)
        ring = sorted((c for c in hands if hands[c] and c not in benched), key=places.__getitem__)
        expected = [c for c in ring if places[c] > last] + [c for c in ring if places[c] <= last]
        assert list(rotation.turns()) == [(c, hands[c][0]) for c in expected]
        assert len(rotation) == len(expected)
        assert all(rotation.others_wait(c) == bool(set(expected) - {c}) for c in hands)
        if step == "serve" and expected:
            first = expected[0]
            last = places[first]
            rotation.served(first, hands[first].pop(0))
