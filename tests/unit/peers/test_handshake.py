"""Only workers of one id and topic connect to each other, and what was listened to is of use to nobody else."""

from __future__ import annotations

import time

import pytest

from fanout_app.lease_keys import LeaseKeys, Seal
from fanout_app.peers.handshake import FRESH, Handshake, RefusedError, WrongTimeError

DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def handshake(me: str, clock: Clock, key: bytes = b"a key", topic: str = "t") -> Handshake:
    return Handshake(Seal(LeaseKeys([key]), "id", topic), me, clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_worker_is_known_by_its_call_and_knows_the_other_by_its_answer(clock: Clock) -> None:
    a, b = handshake("a", clock), handshake("b", clock)
    path, seal = a.call("b")

    assert b.check("GET", path, seal) == "a"
    assert a.answered(path, b.answer(path))


def test_the_same_call_is_taken_once(clock: Clock) -> None:
    b = handshake("b", clock)
    call = handshake("a", clock).call("b")
    b.check("GET", *call)

    with pytest.raises(RefusedError, match="made before"):
        b.check("GET", *call)


@pytest.mark.parametrize("seconds", [FRESH + 1, -FRESH - 1])
def test_a_call_of_another_time_is_refused(clock: Clock, seconds: float) -> None:
    call = handshake("a", clock).call("b")
    clock.now += seconds

    with pytest.raises(WrongTimeError, match="clocks"):
        handshake("b", clock).check("GET", *call)


@pytest.mark.parametrize("ahead", [DAY, -2 * DAY])
def test_who_was_refused_for_its_clock_calls_again_by_that_of_the_other(clock: Clock, ahead: float) -> None:
    off = Clock()
    off.now += ahead
    a, b = handshake("a", off), handshake("b", clock)
    path, seal = a.call("b")
    with pytest.raises(WrongTimeError):
        b.check("GET", path, seal)

    assert a.correct("b", path, *b.time_here(path)) == pytest.approx(-ahead)

    assert b.check("GET", *a.call("b")) == "a"
    with pytest.raises(WrongTimeError):
        handshake("c", clock).check("GET", *a.call("c"))


def test_nobody_else_can_say_what_time_it_is(clock: Clock) -> None:
    a, b = handshake("a", clock), handshake("b", clock)
    (path, _), (other, _) = a.call("b"), a.call("b")
    time, seal = b.time_here(path)

    assert a.correct("b", other, time, seal) is None
    assert a.correct("b", path, time + "0", seal) is None
    assert a.correct("b", path, time, "") is None
    assert a.correct("b", path, *handshake("b", clock, b"another key").time_here(path)) is None
    assert b.check("GET", *a.call("b")) == "a"


def test_a_wall_clock_that_is_set_makes_no_call_fresh_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seal = Seal(LeaseKeys([b"a key"]), "id", "t")
    a, b = Handshake(seal, "a"), Handshake(seal, "b")
    true_time = time.time
    listened_to = a.call("b")
    b.check("GET", *listened_to)
    monkeypatch.setattr(time, "time", lambda: true_time() + DAY)
    b.check("GET", *a.call("b"))
    monkeypatch.setattr(time, "time", true_time)

    with pytest.raises(RefusedError, match="made before"):
        b.check("GET", *listened_to)


def test_a_call_is_refused_again_for_as_long_as_it_would_be_fresh(clock: Clock) -> None:
    a, b = handshake("a", clock), handshake("b", clock)
    clock.now += FRESH - 1  # made by a clock that is ahead
    call = a.call("b")
    clock.now -= FRESH - 1
    b.check("GET", *call)
    clock.now += 2 * FRESH - 2

    with pytest.raises(RefusedError, match="made before"):
        b.check("GET", *call)


def test_a_call_to_another_worker_is_refused(clock: Clock) -> None:
    with pytest.raises(RefusedError, match="made to c"):
        handshake("b", clock).check("GET", *handshake("a", clock).call("c"))


@pytest.mark.parametrize("stranger", [{"key": b"another key"}, {"topic": "another"}])
def test_a_call_of_a_stranger_is_refused(clock: Clock, stranger: dict[str, bytes | str]) -> None:
    theirs = handshake("a", clock, **stranger)  # type: ignore[arg-type]
    b = handshake("b", clock)
    path, seal = theirs.call("b")

    with pytest.raises(RefusedError, match="not sealed"):
        b.check("GET", path, seal)
    assert not theirs.answered(path, b.answer(path))


def test_nothing_of_a_call_can_be_changed(clock: Clock) -> None:
    b = handshake("b", clock)
    path, seal = handshake("a", clock).call("b")

    for method, changed, other in (
        ("POST", path, seal),
        ("GET", path.replace("from=a", "from=c"), seal),
        ("GET", path + "&more=1", seal),
        ("GET", path, seal[:-1] + ("0" if seal[-1] != "0" else "1")),
        ("GET", path, ""),
        ("GET", path, "no hex"),
    ):
        with pytest.raises(RefusedError, match="not sealed"):
            b.check(method, changed, other)


def test_an_answer_is_good_for_its_own_call_only(clock: Clock) -> None:
    a, b = handshake("a", clock), handshake("b", clock)
    path, _ = a.call("b")
    other, _ = a.call("b")

    assert not a.answered(path, b.answer(other))
    assert not a.answered(path, b"")


def test_what_was_used_is_forgotten_when_it_can_be_of_no_use(clock: Clock) -> None:
    a, b = handshake("a", clock), handshake("b", clock)
    for _ in range(100):
        b.check("GET", *a.call("b"))
        clock.now += FRESH

    assert len(b._used) < 5
