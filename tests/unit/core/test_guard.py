"""When a group is failing, when it does well, when nobody can tell; and what is decided then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanout_app.core.canary import CanaryState, Guard, Step, Wanted, fail, promote, put, roll_back
from fanout_app.core.canary_steps import decide, verdicts
from fanout_app.core.guard import judge
from fanout_app.core.windows import Tally, Windows


def tally(acked: int, nacked: int = 0, expired: int = 0, *, seconds: float = 0.005) -> Tally:
    windows = Windows()
    windows.acked("a", seconds, acked, 0.0)
    windows.nacked("a", nacked, 0.0)
    windows.expired("a", expired, 0.0)
    return windows.tallies(0.0)["a"]


WELL = tally(1000)


class TestJudge:
    def test_too_few_deliveries_say_nothing(self) -> None:
        verdict = judge(Guard(), tally(0, 19), WELL)
        assert (verdict.kind, verdict.reason) == ("undecided", "19 deliveries have ended, 20 are asked for")

    @pytest.mark.parametrize("failed", [{"nacked": 3}, {"expired": 3}, {"nacked": 1, "expired": 2}])
    def test_more_failures_than_allowed(self, failed: dict[str, int]) -> None:
        assert judge(Guard(), tally(18, 1, 1), WELL).kind == "good", "a tenth is allowed"
        verdict = judge(Guard(), tally(17, **failed), WELL)
        assert verdict.kind == "failing"
        assert verdict.reason.startswith("3 of 20 failed (")
        assert verdict.reason.endswith("0.15, max_failure_ratio is 0.1")

    def test_without_a_limit_all_may_fail(self) -> None:
        assert judge(Guard(max_failure_ratio=None), tally(0, 20), WELL).kind == "good"
        assert judge(Guard(max_failure_ratio=0.0), tally(19, 1), WELL).kind == "failing"

    def test_more_often_than_stable(self) -> None:
        guard = Guard(max_failure_ratio=None, max_ratio_over_stable=2.0)
        stable = tally(95, 5)
        assert judge(guard, tally(90, 10), stable).kind == "good"
        verdict = judge(guard, tally(89, 11), stable)
        assert (verdict.kind, "2.2 times stable's" in verdict.reason) == ("failing", True)
        assert judge(guard, tally(0, 100), tally(20)).kind == "failing"
        assert judge(guard, tally(0, 100), tally(19)).kind == "good", "stable has too few to be a measure"

    def test_a_stable_that_never_fails_counts_as_failing_one_in_a_hundred(self) -> None:
        guard = Guard(max_failure_ratio=None, max_ratio_over_stable=2.0)
        assert judge(guard, tally(98, 2), WELL).kind == "good"
        assert judge(guard, tally(97, 3), WELL).kind == "failing"

    def test_slower_than_stable(self) -> None:
        guard = Guard(max_p99_over_stable=3.0)
        stable = tally(100, seconds=0.1)
        assert judge(guard, tally(100, seconds=0.28), stable).kind == "good"
        verdict = judge(guard, tally(100, seconds=0.4), stable)
        assert verdict.kind == "failing"
        assert "max_p99_over_stable is 3" in verdict.reason

    def test_a_stable_that_answers_at_once_counts_as_taking_ten_milliseconds(self) -> None:
        guard = Guard(max_p99_over_stable=3.0)
        stable = tally(100, seconds=0.0001)
        assert judge(guard, tally(100, seconds=0.028), stable).kind == "good"
        assert judge(guard, tally(100, seconds=0.04), stable).kind == "failing"

    def test_one_slow_ack_in_a_thousand_is_not_the_99th_percentile(self) -> None:
        slow = tally(999, seconds=0.1)
        slow.add(tally(1, seconds=60.0))
        assert judge(Guard(max_p99_over_stable=2.0), slow, tally(100, seconds=0.1)).kind == "good"


STEPS = (Step(1, 1000), Step(5, 1000), Step(25, 1000), Step(100, 1000))
GUARDED = put(CanaryState(), Wanted(weights={"stable": 95, "canary": 5}, guard=Guard()))
STEPPED = put(CanaryState(), Wanted(weights={"stable": 99, "canary": 1}, steps=STEPS))


class TestDecide:
    def test_who_fails_is_taken_out_with_the_reason(self) -> None:
        decision = decide(GUARDED, {"canary": tally(14, 6), "stable": WELL}, {})
        assert decision is not None
        assert (decision.group, decision.kind) == ("canary", "rolled back")
        assert decision.state.weights == {"stable": 95, "canary": 0}
        assert decision.state.plans["canary"].outcome == "failing"
        assert decision.state.plans["canary"].reason == decision.reason
        assert decide(decision.state, {"canary": tally(14, 6), "stable": WELL}, {}) is None, "once"

    def test_who_does_well_and_has_no_steps_is_left_alone(self) -> None:
        assert decide(GUARDED, {"canary": tally(20), "stable": WELL}, {"canary": 1e9}) is None

    def test_steps_are_gone_through_one_by_one(self) -> None:
        state, weights = STEPPED, []
        while not state.plans["canary"].outcome:
            assert decide(state, {"canary": tally(20)}, {"canary": 0.999}) is None, "not before it has held"
            assert decide(state, {"canary": tally(19)}, {"canary": 1e9}) is None, "not before it is known to do well"
            decision = decide(state, {"canary": tally(20)}, {"canary": 1.0})
            assert decision is not None
            state = decision.state
            weights.append(state.weights["canary"])
        assert weights == [5, 25, 100, 100]
        assert state.plans["canary"].outcome == "complete"
        assert decide(state, {"canary": tally(20)}, {"canary": 1e9}) is None

    def test_a_bad_verdict_ends_them_at_any_step(self) -> None:
        state = STEPPED
        for _ in range(len(STEPS) + 1):
            out = decide(state, {"canary": tally(0, 20)}, {"canary": 1e9})
            assert out is not None
            assert out.state.weights["canary"] == 0
            assert sum(out.state.weights.values()) > 0
            decision = decide(state, {"canary": tally(20)}, {"canary": 1e9})
            state = decision.state if decision is not None else state

    @pytest.mark.parametrize("change", [promote, roll_back])
    def test_what_a_person_has_decided_is_left_alone(self, change: object) -> None:
        assert callable(change)
        assert decide(change(STEPPED, "canary"), {"canary": tally(0, 100), "stable": WELL}, {"canary": 1e9}) is None

    def test_who_gets_nothing_is_not_judged(self) -> None:
        assert verdicts(fail(GUARDED, "canary", ""), {"canary": tally(0, 100)}) == {}

    @given(acked=st.integers(0, 60), nacked=st.integers(0, 60), expired=st.integers(0, 60), held=st.floats(0, 5))
    def test_a_weight_is_raised_only_for_who_does_well_and_by_one_version(
        self, acked: int, nacked: int, expired: int, held: float
    ) -> None:
        group = tally(acked, nacked, expired)
        decision = decide(STEPPED, {"canary": group, "stable": WELL}, {"canary": held})
        if decision is None:
            return
        assert decision.state.version == STEPPED.version + 1
        raised = decision.state.weights["canary"] > STEPPED.weights["canary"]
        well = group.ended >= 20 and group.failures <= 0.1 * group.ended
        assert raised == (well and held >= 1.0)
        assert raised or decision.state.weights["canary"] == 0
