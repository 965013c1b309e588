"""Whose turn it is and what ends next, beside a list that is sorted every time."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.deadlines import Alarm, Deadlines, Fire
from fanout_app.core.rotation import Rotation

times = st.integers(0, 50).map(float)
steps = st.lists(
    st.tuples(st.sampled_from(("set", "set", "set", "cancel", "ring")), st.integers(0, 30), times), max_size=80
)


@given(steps, st.sampled_from((2, 4, 1024)))
def test_alarms_ring_in_order_and_once(steps: list[tuple[str, int, float]], small: int) -> None:
    deadlines = Deadlines()
    deadlines._SMALL = deadlines._full = small  # so that it is tidied up within a few steps
    alarms: dict[int, tuple[float, Alarm]] = {}
    rung: list[int] = []

    def follow_up(number: int, at: float) -> Fire:
        return lambda now: set_one(number + 1000, at)

    def set_one(number: int, at: float) -> None:
        alarms[number] = at, deadlines.set(at, lambda now: rung.append(number))

    for number, (step, other, at) in enumerate(steps):
        if step == "set" and other % 4:
            set_one(number, at)
        elif step == "set":
            # What rings may set the next one, which may be due by then.
            alarms[number] = at, deadlines.set(at, follow_up(number, at))
        elif step == "cancel" and alarms:
            _, alarm = alarms.pop(list(alarms)[other % len(alarms)])
            alarm.cancel()
        elif step == "ring":
            due = {number: alarm_at for number, (alarm_at, _) in alarms.items() if alarm_at <= at}
            rung.clear()
            deadlines.ring(at)
            assert [alarms[number][0] for number in rung] == sorted(alarms[number][0] for number in rung)
            assert len(rung) == len(due)
            assert {number % 1000 for number in rung} == {number % 1000 for number in due}
            for number in (*due, *rung):
                alarms.pop(number, None)
        assert deadlines.next() == min((at for at, _ in alarms.values()), default=None)


def test_alarms_that_are_off_do_not_pile_up() -> None:
    deadlines = Deadlines()
    for _ in range(3000):
        deadlines.set(1e6, lambda now: None)
    for number in range(100_000):
        deadlines.set(float(number), lambda now: None).cancel()
    assert len(deadlines) <= 2 * 3000 + 1


clients = st.sampled_from("ABCDE")
rotation_steps = st.lists(
    st.tuples(
        st.sampled_from(
            ("wait", "wait", "wait", "serve", "serve", "stop", "leave", "bench", "unbench", "doubt", "trust")
        ),
        clients,
    ),
    max_size=80,
)


@given(rotation_steps)
def test_next_is_the_next_in_order_of_joining_among_who_waits(steps: list[tuple[str, str]]) -> None:
    rotation = Rotation()
    places: dict[str, int] = {}
    hands: dict[str, list[int]] = {client: [] for client in "ABCDE"}
    benched: set[str] = set()
    in_doubt: set[str] = set()
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
            in_doubt.discard(client)
            rotation.leave(client)
        elif step == "bench":
            benched.add(client)
            rotation.bench(client)
        elif step == "unbench":
            benched.discard(client)
            rotation.unbench(client)
        elif step == "doubt":
            in_doubt.add(client)
            rotation.doubt(client)
        elif step == "trust":
            in_doubt.discard(client)
            rotation.trust(client)
        ring = sorted((c for c in hands if hands[c] and c not in benched), key=places.__getitem__)
        expected = [c for c in ring if places[c] > last] + [c for c in ring if places[c] <= last]
        assert list(rotation.turns()) == [(c, hands[c][0]) for c in expected]
        assert list(rotation.turns(trusted=True)) == [(c, hands[c][0]) for c in expected if c not in in_doubt]
        trusted = tuple(c for c in ring if c not in in_doubt)
        assert all(rotation.stands_back_for(c) == (trusted[:2] if c in in_doubt else ()) for c in hands)
        assert all(rotation.others_wait(c) == bool(set(expected) - {c}) for c in hands)
        if step == "serve" and expected:
            first = expected[0]
            last = places[first]
            rotation.served(first, hands[first].pop(0))
