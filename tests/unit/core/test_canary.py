"""What holds of the shares: each way in which it changes, and what is refused."""

from __future__ import annotations

import pytest

from fanout_app.core.canary import (
    MOST_GROUPS,
    CanaryState,
    Guard,
    Plan,
    Step,
    Wanted,
    fail,
    promote,
    put,
    roll_back,
    step_up,
)
from fanout_app.core.errors import RefusedError

BEGINNING = CanaryState()
#: Some PUT, and another group beside.
NINETY_FIVE = put(BEGINNING, Wanted(weights={"stable": 95, "canary": 5}, guard=Guard()))
THREE = put(BEGINNING, Wanted(weights={"stable": 80, "a": 15, "b": 5}))


def test_before_the_first_put_stable_has_everything() -> None:
    assert (BEGINNING.weights, BEGINNING.by, BEGINNING.plans, BEGINNING.version) == ({"stable": 100}, "message", {}, 0)


class TestPut:
    def test_it_is_all_that_holds(self) -> None:
        state = put(NINETY_FIVE, Wanted(weights={"stable": 90, "canary": 10}, by="key"))
        assert (state.weights, state.by, state.plans) == ({"stable": 90, "canary": 10}, "key", {})
        assert state.version == NINETY_FIVE.version + 1
        assert put(state, Wanted(weights={"stable": 1})).by == "message"

    def test_the_guard_is_for_the_only_other_group(self) -> None:
        assert NINETY_FIVE.plans == {"canary": Plan(guard=Guard())}

    def test_guards_of_other_groups_stay_as_long_as_these_have_a_weight(self) -> None:
        both = put(THREE, Wanted(weights=THREE.weights, group="a", guard=Guard(min_samples=7)))
        both = put(both, Wanted(weights=THREE.weights, group="b", guard=Guard(min_samples=9)))
        assert {name: plan.guard for name, plan in both.plans.items()} == {
            "a": Guard(min_samples=7),
            "b": Guard(min_samples=9),
        }
        without_a = put(both, Wanted(weights={"stable": 95, "b": 5}, group="b", guard=Guard()))
        assert without_a.plans == {"b": Plan(guard=Guard())}
        assert put(both, Wanted(weights=THREE.weights)).plans == both.plans, "it is not said whose guard is left out"
        assert put(both, Wanted(weights=THREE.weights, group="a")).plans.keys() == {"b"}

    def test_steps_begin_with_the_first_and_have_the_default_guard(self) -> None:
        state = put(BEGINNING, Wanted(weights={"stable": 100, "canary": 0}, steps=(Step(1, 1000), Step(25, 1000))))
        assert state.weights == {"stable": 99, "canary": 1}
        assert state.plans["canary"] == Plan(guard=Guard(), steps=(Step(1, 1000), Step(25, 1000)), step=0)

    def test_a_group_that_is_named_and_has_no_weight_is_there_with_none(self) -> None:
        assert put(BEGINNING, Wanted(weights={"stable": 100}, group="new", guard=Guard())).weights["new"] == 0

    @pytest.mark.parametrize(
        ("wanted", "said"),
        [
            (Wanted(weights={"stable": 80, "a": 15, "b": 5}, guard=Guard()), "group: name the group .* a, b"),
            (Wanted(weights={"stable": 80, "a": 15, "b": 5}, steps=(Step(1),)), "group: name the group"),
            (Wanted(weights={"stable": 100}, guard=Guard()), "group: name the group .* no other group"),
            (Wanted(weights={"stable": 95, "canary": 5}, group="stable"), "group: stable is what"),
            (Wanted(weights={f"g{number}": 1 for number in range(MOST_GROUPS)}, group="more"), "weights: up to 100"),
        ],
    )
    def test_what_makes_no_sense_is_refused_by_the_field_at_fault(self, wanted: Wanted, said: str) -> None:
        with pytest.raises(RefusedError, match=f"^{said}"):
            put(BEGINNING, wanted)

    def test_a_weight_ends_what_was_decided_of_the_group(self) -> None:
        out = fail(put(THREE, Wanted(weights=THREE.weights, group="a", guard=Guard())), "a", "it failed")
        assert put(out, Wanted(weights={**out.weights, "b": 6}, group="b")).plans["a"].outcome == "failing"
        again = put(out, Wanted(weights=THREE.weights, group="b"))
        assert again.plans["a"] == Plan(guard=Guard())


class TestByHand:
    def test_who_is_promoted_has_everything_and_is_not_watched(self) -> None:
        state = promote(NINETY_FIVE, None)
        assert state.weights == {"stable": 0, "canary": 100}
        assert state.plans == {"canary": Plan(outcome="promoted", reason="by hand")}
        assert promote(THREE, "b").weights == {"stable": 0, "a": 15, "b": 100}

    def test_who_is_rolled_back_has_nothing_and_its_guard_stays(self) -> None:
        state = roll_back(NINETY_FIVE, "canary")
        assert state.weights == {"stable": 95, "canary": 0}
        assert state.plans == {"canary": Plan(guard=Guard(), outcome="rolled-back", reason="by hand")}

    def test_of_one_that_had_everything_stable_has_it_again(self) -> None:
        assert roll_back(promote(NINETY_FIVE, None), None).weights == {"stable": 100, "canary": 0}
        assert fail(promote(NINETY_FIVE, None), "canary", "").weights == {"stable": 100, "canary": 0}

    @pytest.mark.parametrize("change", [promote, roll_back])
    @pytest.mark.parametrize(
        ("state", "group", "said"),
        [
            (BEGINNING, None, "name the group .* none"),
            (THREE, None, "name the group .* a, b"),
            (THREE, "c", "c has no weight"),
            (THREE, "stable", "stable is what"),
        ],
    )
    def test_it_is_known_who_is_meant(self, change: object, state: CanaryState, group: str | None, said: str) -> None:
        assert callable(change)
        with pytest.raises(RefusedError, match=said):
            change(state, group)


class TestSteps:
    STEPS = (Step(1), Step(5), Step(25), Step(100))

    def test_each_takes_from_stable_what_it_gives(self) -> None:
        state = put(BEGINNING, Wanted(weights={"stable": 99, "canary": 1}, steps=self.STEPS))
        seen = [state.weights]
        while not state.plans["canary"].outcome:
            state = step_up(state, "canary")
            seen.append(state.weights)
        weights = [{"stable": 100 - canary, "canary": canary} for canary in (1, 5, 25, 100, 100)]
        assert seen == weights
        assert state.plans["canary"].outcome == "complete"
        assert state.plans["canary"].guard == Guard(), "it is watched on"

    def test_stable_gives_no_more_than_it_has(self) -> None:
        state = put(BEGINNING, Wanted(weights={"stable": 3, "canary": 0}, steps=(Step(10),)))
        assert state.weights == {"stable": 0, "canary": 10}


def test_a_tag_is_of_one_state_alone() -> None:
    states = [BEGINNING, NINETY_FIVE, promote(NINETY_FIVE, None), roll_back(promote(NINETY_FIVE, None), None)]
    assert len({state.tag for state in states}) == len(states)
