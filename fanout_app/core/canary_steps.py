"""What the leader decides of groups by itself: one that fails is taken out, one that does well is raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from fanout_app.core.canary import CanaryState, fail, step_up
from fanout_app.core.guard import Verdict, judge
from fanout_app.core.shares import STABLE
from fanout_app.core.windows import Tally

Kind = Literal["rolled back", "raised", "complete"]
DECISIONS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Decision:
    """Another state, of whom it is about, and why."""

    state: CanaryState
    group: str
    kind: Kind
    reason: str


def verdicts(state: CanaryState, tallies: Mapping[str, Tally]) -> dict[str, Verdict]:
    """What is to be thought of each group that has a guard and gets anything."""
    stable = tallies.get(STABLE, Tally())
    return {
        group: judge(plan.guard, tallies.get(group, Tally()), stable)
        for group, plan in state.plans.items()
        if plan.guard is not None and state.weights.get(group, 0)
    }


def decide(state: CanaryState, tallies: Mapping[str, Tally], held: Mapping[str, float]) -> Decision | None:
    """The next thing to do, if there is one.

    ``tallies`` are of what happened in the windows since the weight of each group was last changed; ``held`` is for how
    many seconds each group has had its weight.
    """
    thought = verdicts(state, tallies)
    for group, verdict in thought.items():
        if verdict.kind == "failing":
            return Decision(fail(state, group, verdict.reason), group, "rolled back", verdict.reason)
    for group, verdict in thought.items():
        plan = state.plans[group]
        if verdict.kind != "good" or not plan.steps or plan.outcome:
            continue
        if held.get(group, 0.0) >= plan.steps[plan.step].hold_ms / 1000:
            raised = step_up(state, group)
            if raised.plans[group].outcome:
                return Decision(raised, group, "complete", raised.plans[group].reason)
            return Decision(raised, group, "raised", f"to {raised.weights[group]}, since {verdict.reason}")
    return None
