"""What holds of the shares of groups, and every way in which that changes: by a person, or by a guard.

Rules for this file: a state is never changed, a change is another state with the next version. Who may change it, and
that all workers agree on what holds, is not decided here (`fanout_app.canary`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field
from msgspec.structs import replace

from fanout_app.core.errors import RefusedError
from fanout_app.core.shares import STABLE, WHOLE

By = Literal["message", "key"]
#: Groups that may have a weight or a guard: more of them are somebody's mistake.
MOST_GROUPS = 100


class Guard(Struct, frozen=True, kw_only=True):
    """When a group is failing: any of the limits is passed, with as many deliveries that ended as are asked for."""

    window_ms: int = 60_000
    min_samples: int = 20
    #: Of the deliveries that ended, those that were nacked, rejected or let expire.
    max_failure_ratio: float | None = 0.1
    #: How many times as much as stable's; None: as much as it likes.
    max_ratio_over_stable: float | None = None
    max_p99_over_stable: float | None = None


class Step(Struct, frozen=True):
    """A weight that the group is raised to, and for how long it has to do well there before the next one."""

    weight: int
    hold_ms: int = 0


#: How it stands with a group, where something was decided of it: the guard or a person has taken it out, a person has
#: given it everything, or it has been through all of its steps.
Outcome = Literal["", "failing", "rolled-back", "promoted", "complete"]


class Plan(Struct, frozen=True, kw_only=True):
    """What is to become of one group."""

    guard: Guard | None = None
    steps: tuple[Step, ...] = ()
    #: The step that it is at.
    step: int = 0
    outcome: Outcome = ""
    #: Why, where there is an outcome.
    reason: str = ""


class CanaryState(Struct, frozen=True, kw_only=True):
    """All that is kept."""

    version: int = 0
    #: The epoch of the leader who made this version.
    made_in: int = 0
    weights: dict[str, int] = field(default_factory=lambda: {STABLE: WHOLE})
    by: By = "message"
    #: By group; `STABLE` has none.
    plans: dict[str, Plan] = {}

    @property
    def tag(self) -> str:
        """Another one for every state that ever was, also for one that a leader has made who leads no more."""
        return f"{self.made_in}-{self.version}"


class Wanted(Struct, frozen=True, kw_only=True):
    """What a person asks for. It is all that holds then: what is left out has its default."""

    weights: dict[str, int]
    by: By = "message"
    #: The one that guard and steps are for; None: the only one beside `STABLE`.
    group: str | None = None
    guard: Guard | None = None
    steps: tuple[Step, ...] = ()


def put(state: CanaryState, wanted: Wanted) -> CanaryState:
    """Raises RefusedError: it is not clear whom it is about."""
    named = wanted.group is not None or wanted.guard is not None or bool(wanted.steps)
    others = [group for group in wanted.weights if group != STABLE]
    group = _meant(wanted.group, others) if named or len(others) == 1 else None
    weights = dict(wanted.weights)
    # What a person says of the weight of a group ends what was decided before.
    plans = {
        name: replace(plan, outcome="", reason="") if plan.outcome and weights[name] else plan
        for name, plan in state.plans.items()
        if name in weights
    }
    if group is not None:
        guard = wanted.guard or (Guard() if wanted.steps else None)
        plans.pop(group, None)
        weights.setdefault(group, 0)
        if guard is not None:
            plans[group] = Plan(guard=guard, steps=wanted.steps)
        if wanted.steps:
            weights = _reweighed(weights, group, wanted.steps[0].weight)
    _refuse_too_many(weights)
    return _next(state, weights=weights, plans=plans, by=wanted.by)


def promote(state: CanaryState, group: str | None) -> CanaryState:
    """The group has everything, and nobody watches it any more. Raises RefusedError: no such group."""
    group = _of_those_there(state, group)
    weights = {**state.weights, STABLE: 0, group: WHOLE}
    return _next(state, weights=weights, plans={**state.plans, group: Plan(outcome="promoted", reason="by hand")})


def roll_back(state: CanaryState, group: str | None) -> CanaryState:
    """The group has nothing until a person gives it something. Raises RefusedError: no such group."""
    group = _of_those_there(state, group)
    return _taken_out(state, group, "rolled-back", "by hand")


def fail(state: CanaryState, group: str, reason: str) -> CanaryState:
    """As `roll_back`, by its guard."""
    return _taken_out(state, group, "failing", reason)


def step_up(state: CanaryState, group: str) -> CanaryState:
    """The next of the group's steps; at the last one they are complete."""
    plan = state.plans[group]
    if plan.step + 1 >= len(plan.steps):
        reason = f"all {len(plan.steps)} steps were gone through"
        return _next(state, plans={**state.plans, group: replace(plan, outcome="complete", reason=reason)})
    plan = replace(plan, step=plan.step + 1)
    weights = _reweighed(state.weights, group, plan.steps[plan.step].weight)
    return _next(state, weights=weights, plans={**state.plans, group: plan})


def _taken_out(state: CanaryState, group: str, outcome: Outcome, reason: str) -> CanaryState:
    weights = {**state.weights, group: 0}
    if not any(weights.values()):
        # It had everything: nobody would get anything.
        weights[STABLE] = WHOLE
    plan = replace(state.plans.get(group, Plan()), outcome=outcome, reason=reason)
    return _next(state, weights=weights, plans={**state.plans, group: plan})


def _reweighed(weights: Mapping[str, int], group: str, weight: int) -> dict[str, int]:
    """Another weight for a group. What it gains `STABLE` gives, so that weights which are percents stay percents."""
    gained = weight - weights.get(group, 0)
    return {**weights, STABLE: max(0, weights.get(STABLE, 0) - gained), group: weight}


def _meant(group: str | None, others: list[str]) -> str:
    if group is None:
        if len(others) != 1:
            raise RefusedError(f"group: name the group that this is for, one of {_listed(others)}")
        return others[0]
    if group == STABLE:
        raise RefusedError(f"group: {STABLE} is what the others are judged against: name one of {_listed(others)}")
    return group


def _of_those_there(state: CanaryState, group: str | None) -> str:
    others = [name for name in state.weights if name != STABLE]
    group = _meant(group, others)
    if group not in others:
        raise RefusedError(f"group: {group} has no weight: name one of {_listed(others)}, or set one first")
    return group


def _refuse_too_many(weights: Mapping[str, int]) -> None:
    if len(weights) > MOST_GROUPS:
        raise RefusedError(f"weights: up to {MOST_GROUPS} groups can have one, these are {len(weights)}")


def _listed(groups: list[str]) -> str:
    return ", ".join(groups) or "none, since no other group has a weight"


def _next(
    state: CanaryState,
    *,
    weights: Mapping[str, int] | None = None,
    plans: Mapping[str, Plan] | None = None,
    by: By | None = None,
) -> CanaryState:
    return replace(
        state,
        version=state.version + 1,
        weights=dict(state.weights if weights is None else weights),
        plans=dict(state.plans if plans is None else plans),
        by=by or state.by,
    )
