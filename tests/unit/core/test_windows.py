"""What is counted of groups, for how long, and the quantiles of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.windows import Tally, Windows, together


def test_what_is_older_than_the_window_is_forgotten() -> None:
    windows = Windows()
    windows.use({"canary": 10.0}, [], 0.0)
    windows.nacked("canary", 3, 1.0)
    windows.acked("canary", 0.01, 5, 6.0)
    assert windows.tallies(10.9)["canary"].nacked == 3
    assert windows.tallies(11.6)["canary"].nacked == 0, "a twentieth of the window later at most"
    assert windows.tallies(11.6)["canary"].acked == 5
    assert windows.tallies(100.0)["canary"].ended == 0
    assert windows.totals["canary"] == [0, 5, 3, 0]


def test_slices_that_follow_one_another_are_forgotten_one_after_the_other() -> None:
    windows = Windows()
    windows.use({"a": 10.0}, [], 0.0)
    for at in (1.0, 1.4, 1.5, 2.1):
        windows.nacked("a", 1, at)
    assert [windows.tallies(at)["a"].nacked for at in (11.4, 11.6, 12.1, 12.6)] == [4, 2, 1, 0]


def test_a_group_that_begins_anew_is_not_judged_by_what_was() -> None:
    windows = Windows()
    windows.expired("canary", 4, 1.0)
    windows.expired("other", 4, 1.0)
    windows.use({}, ["canary"], 2.0)
    tallies = windows.tallies(2.0)
    assert (tallies["canary"].expired, tallies["other"].expired) == (0, 4)
    assert windows.totals["canary"] == [0, 0, 0, 4], "that it ever happened is not forgotten"
    windows.use({}, ["of which nothing was counted"], 2.0)
    assert windows.tallies(2.0).keys() == {"canary", "other"}
    windows.use({"other": 5.0}, [], 2.0)
    assert windows.tallies(2.0)["other"].expired == 0, "another length is another window"


def test_what_did_not_reach_anybody_was_not_delivered() -> None:
    windows = Windows()
    windows.delivered("stable", 5, 1.0)
    windows.delivered("stable", -2, 1.1)
    assert windows.tallies(1.1)["stable"].delivered == 3


def test_the_seconds_are_those_since_it_began_up_to_the_window() -> None:
    windows = Windows()
    windows.use({"a": 10.0}, [], 0.0)
    windows.delivered("a", 1, 5.0)
    assert windows.tallies(8.0)["a"].seconds == 3.0
    assert windows.tallies(80.0)["a"].seconds == 10.0


@given(st.lists(st.floats(0.0011, 5000.0), min_size=1, max_size=60), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_at_most_five_percent_too_high(times: list[float], share: float) -> None:
    windows = Windows()
    for seconds in times:
        windows.acked("a", seconds, 1, 0.0)
    found = windows.tallies(0.0)["a"].latency(share)
    exact = min(limit for limit in times if sum(one <= limit for one in times) >= share * len(times) - 1e-9)
    assert found is not None
    assert exact * 0.999 <= found <= exact * 1.051


def test_no_acks_have_no_quantile() -> None:
    assert Tally().latency(0.5) is None


def test_a_run_counts_as_its_messages_do() -> None:
    windows, singly = Windows(), Windows()
    windows.acked("a", 0.5, 500, 1.0)
    for _ in range(500):
        singly.acked("a", 0.5, 1, 1.0)
    assert windows.tallies(1.0) == singly.tallies(1.0)


def test_workers_are_added_up() -> None:
    one = Tally(delivered=1, acked=2, nacked=3, expired=4, latencies={3: 2}, seconds=5.0)
    other = Tally(delivered=10, acked=20, nacked=30, expired=40, latencies={3: 10, 7: 10}, seconds=7.0)
    total = together([one, other])
    assert total == Tally(delivered=11, acked=22, nacked=33, expired=44, latencies={3: 12, 7: 10}, seconds=7.0)
    assert total.failures == 77
    assert total.failure_ratio == pytest.approx(77 / 99)
    assert one.latencies == {3: 2}, "what was counted is not changed by being added"


def test_how_long_acks_took_is_known_of_all_time_and_by_any_bounds() -> None:
    windows = Windows()
    windows.use({"a": 10.0}, [], 0.0)
    windows.acked("a", 0.0002, 3, 1.0)
    windows.acked("a", 0.09, 2, 1.0)
    windows.acked("a", 0.09, 1, 20.0)
    windows.use({"a": 10.0}, ["a"], 100.0)
    windows.acked("a", 7.0, 1, 100.0)
    times = windows.ack_times("a")
    assert times.within((0.001, 0.1, 5.0)) == [3, 6, 6, 7]
    assert times.seconds == pytest.approx(0.0006 + 0.27 + 7)
    assert windows.ack_times("b").within((1,)) == [0, 0]


@given(st.lists(st.floats(0, 500), max_size=50))
def test_an_ack_counts_up_to_a_bound_if_it_took_less_by_a_twentieth(seconds: list[float]) -> None:
    windows = Windows()
    for one in seconds:
        windows.acked("a", one, 1, 0.0)
    bounds = (0.001, 0.01, 0.25, 1, 60)
    *counts, everything = windows.ack_times("a").within(bounds)
    assert everything == len(seconds)
    for bound, count in zip(bounds, counts, strict=True):
        assert sum(one < bound / 1.0501 for one in seconds) <= count <= sum(one <= bound * 1.0001 for one in seconds)


def test_one_that_goes_on_from_another_counts_on() -> None:
    before, after = Windows(), Windows()
    before.acked("a", 0.5, 2, 0.0)
    after.go_on_from(before)
    after.acked("a", 0.5, 1, 0.0)
    assert after.totals["a"] == [0, 3, 0, 0]
    assert after.ack_times("a").within((1,)) == [3, 3]
    assert after.ack_times("a").seconds == 1.5
    assert after.tallies(0.0)["a"].acked == 1
