"""Where a pull is sent on to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.following import Leader
from fanout_app.core.redirecting import MOST, Redirecting
from fanout_app.core.roster import Heartbeat


def beat(worker: str, messages: int = 0, pulls: int = 0) -> Heartbeat:
    return Heartbeat(
        worker=worker,
        address=f"http://{worker}",
        partitions=(),
        generation=1,
        waiting_messages=messages,
        waiting_pulls=pulls,
        epoch=None,
        misses_epoch=None,
        sent_at=1.0,
    )


def leader(worker: str) -> Leader:
    return Leader(worker=worker, address=f"http://{worker}", epoch=7)


ALL = [beat("a"), beat("b"), beat("c")]


def test_a_worker_that_does_not_lead_sends_to_the_leader() -> None:
    assert Redirecting("a").target(0, leader("b"), ALL) == "http://b"
    assert Redirecting("a").target(1, leader("b"), ALL) == "http://b", "it has moved meanwhile"


def test_a_pull_that_was_sent_on_twice_is_served() -> None:
    assert Redirecting("a").target(MOST, leader("b"), ALL) is None
    assert Redirecting("a").target(MOST, leader("a"), [beat("a"), beat("b", 100)]) is None


def test_without_a_leader_it_is_served_where_it_is() -> None:
    assert Redirecting("a").target(0, None, ALL) is None
    assert Redirecting("a").target(0, leader("gone"), ALL) is None


def test_the_leader_sends_to_where_there_is_most_for_a_client() -> None:
    there = [beat("a", 10, 0), beat("b", 90, 9), beat("c", 20, 0)]
    assert Redirecting("a").target(0, leader("a"), there) == "http://c"
    assert Redirecting("a").target(1, leader("a"), there) == "http://c"


def test_the_leader_keeps_what_nobody_has_more_for() -> None:
    assert Redirecting("b").target(0, leader("b"), ALL) is None
    assert Redirecting("b").target(0, leader("b"), [beat("a", 5), beat("b", 5), beat("c", 5)]) is None


def test_pulls_that_heartbeats_do_not_know_of_yet_count() -> None:
    redirecting = Redirecting("a")
    there = [beat("a", 100), beat("b", 200), beat("c", 100)]
    targets = Counter(redirecting.target(0, leader("a"), there) for _ in range(9))
    assert targets["http://b"] < 9
    later = [replace(one, sent_at=2.0) for one in there]
    assert redirecting.target(0, leader("a"), later) == "http://b", "the next heartbeat knows of them"


names = st.sampled_from("abc")


@given(st.lists(st.none() | names, min_size=3, max_size=3), names, st.lists(st.integers(0, 99), min_size=3, max_size=3))
def test_no_pull_is_sent_on_more_than_twice_whatever_each_worker_believes(
    beliefs: list[str | None], first: str, waiting: list[int]
) -> None:
    there = [beat(name, messages) for name, messages in zip("abc", waiting, strict=True)]
    believed = dict(zip("abc", beliefs, strict=True))
    redirects, at = 0, first
    for _ in range(2 * MOST):
        whom = believed[at]
        target = Redirecting(at).target(redirects, leader(whom) if whom else None, there)
        if target is None:
            return
        redirects, at = redirects + 1, target.removeprefix("http://")
    raise AssertionError(f"it is still under way after {redirects} redirects")
