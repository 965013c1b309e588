"""Watches how groups do: at the leader over all workers, to take out or raise them; alone where nobody leads.

Rules for this file: a decision is the next version of what holds, made by the leader alone, so it is made once; it is
said where it was made. What a worker decides alone holds for its own partitions, takes a group out and never raises
one, and is over when somebody leads.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from time import monotonic
from typing import Any, Protocol

import msgspec

from fanout_app.canary import Canary
from fanout_app.cluster.gathering import Answerer, Gathering
from fanout_app.core.canary import CanaryState, Plan
from fanout_app.core.canary_steps import decide, verdicts
from fanout_app.core.errors import OutdatedError, UnavailableError
from fanout_app.core.following import Leader
from fanout_app.core.shares import STABLE, WHOLE
from fanout_app.core.windows import LENGTH, Tally, Windows, together
from fanout_app.tasks import Tasks

logger = logging.getLogger("fanout.guard")

QUESTION = "windows"
#: Seconds between two looks.
_EVERY = 0.5


class Part(msgspec.Struct):
    """What one worker has counted of groups."""

    tallies: dict[str, Tally]
    #: Delivered, acked, nacked and expired since it began.
    totals: dict[str, list[int]]
    #: Groups that it has taken out for itself, and why.
    held: dict[str, str]
    #: The state whose weights these windows are of, by its tag; empty from a worker that does not say so.
    tag: str = ""


class Leads(Protocol):
    """Who leads, see `fanout_app.leading.Leading`."""

    def leader(self) -> Leader | None: ...


class Guarding:
    """One worker's part in it."""

    def __init__(
        self,
        canary: Canary,
        leading: Leads,
        windows: Windows,
        gathering: Gathering,
        tasks: Tasks,
        *,
        share: Callable[[Mapping[str, int]], None],
    ) -> None:
        """``share`` is called with other weights than those that hold, where this worker takes a group out alone."""
        self._canary = canary
        self._leading = leading
        self._windows = windows
        self._gathering = gathering
        self._share = share
        #: Since when each group has had its weight, as far as this worker has heard.
        self._since: dict[str, float] = {}
        self._seen = CanaryState()
        #: Groups that this worker has taken out alone, and why.
        self.held: dict[str, str] = {}
        self._led_since: float | None = None
        #: What was decided here, by the word of the log.
        self.decided: Counter[str] = Counter()
        tasks.start(self._look_on(), "guard-groups")

    def heard(self, state: CanaryState) -> None:
        """This holds from now on. What a group has done with another weight says nothing of it."""
        now, before = monotonic(), self._seen
        changed = [
            group
            for group in {*state.weights, *before.weights}
            if group != STABLE and _standing(state, group) != _standing(before, group)
        ]
        self._since.update(dict.fromkeys(changed, now))
        self._windows.use(lengths_of(state), changed, now)
        self._seen = state
        if self.held:
            self._let_go("another version holds")

    # Over all workers ------------------------------------------------------------------------------------------------

    def part(self) -> Part:
        return Part(self._windows.tallies(monotonic()), self._windows.totals, self.held, self._seen.tag)

    async def parts(self) -> list[Part]:
        """Those of all workers; one that does not answer, or in the words of another version, is left out."""
        parts = [self.part()]
        for name, other in (await self._gathering.ask_all(QUESTION)).items():
            if other is not None:
                try:
                    parts.append(msgspec.convert(other, Part))
                except msgspec.ValidationError as error:
                    logger.debug("what worker %s has counted cannot be read: %s", name, error)
        return parts

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self._look_alone()
            if self._canary.may_change() and _watched(self._canary.state):
                await self._look()

    async def _look(self) -> None:
        state, now = self._canary.state, monotonic()
        # Who has not heard yet of what holds has counted what was done with other weights.
        tallies = summed([part for part in await self.parts() if part.tag in ("", state.tag)])
        held = {group: now - since for group, since in self._since.items()}
        decision = decide(state, tallies, held)
        if decision is None:
            return
        try:
            await self._canary.change(lambda _: decision.state, [state.tag])
        except (OutdatedError, UnavailableError) as error:
            logger.debug("group %s was not %s: %s", decision.group, decision.kind, error)
            return
        self.decided[decision.kind] += 1
        tell = logger.warning if decision.kind == "rolled back" else logger.info
        tell("group %s: %s: %s", decision.group, decision.kind, decision.reason)

    def reasons(self) -> list[str]:
        """Why this worker does not do what holds for all, for its status."""
        return [f"nobody leads, so group {group} was taken out here alone: {why}" for group, why in self.held.items()]

    # Alone -----------------------------------------------------------------------------------------------------------

    def _look_alone(self) -> None:
        now = monotonic()
        if self._leading.leader() is None:
            self._led_since = None
            self._hold_alone(now)
        elif self._led_since is None:
            self._led_since = now
        elif self.held and now > self._led_since + max(map(self._length, self.held)):
            self._let_go("somebody leads again")

    def _length(self, group: str) -> float:
        return lengths_of(self._seen).get(group, LENGTH)

    def _hold_alone(self, now: float) -> None:
        state = self._seen
        if not _watched(state):
            return
        for group, verdict in verdicts(state, self._windows.tallies(now)).items():
            if verdict.kind == "failing" and group not in self.held:
                self.held[group] = verdict.reason
                logger.warning("nobody leads, so this worker takes group %s out alone: %s", group, verdict.reason)
                weights = {**state.weights, **dict.fromkeys(self.held, 0)}
                self._share(weights if any(weights.values()) else {STABLE: WHOLE})

    def _let_go(self, why: str) -> None:
        logger.info("groups %s have what holds at this worker again: %s", ", ".join(self.held), why)
        self.held.clear()
        self._share(self._seen.weights)


def _standing(state: CanaryState, group: str) -> object:
    plan = state.plans.get(group, Plan())
    return state.weights.get(group, 0), plan.guard, plan.steps, plan.step


def _watched(state: CanaryState) -> Collection[str]:
    return [group for group, plan in state.plans.items() if plan.guard is not None and state.weights.get(group, 0)]


def lengths_of(state: CanaryState) -> dict[str, float]:
    """How long the windows of groups are, in seconds: that of `STABLE` as the longest of those judged against it."""
    lengths = {group: plan.guard.window_ms / 1000 for group, plan in state.plans.items() if plan.guard is not None}
    return {STABLE: max(lengths.values()), **lengths} if lengths else {}


def summed(parts: Collection[Part]) -> dict[str, Tally]:
    """By group, over all workers."""
    return {
        group: together(part.tallies[group] for part in parts if group in part.tallies)
        for group in {group for part in parts for group in part.tallies}
    }


def answerer(guarding: Callable[[], Guarding]) -> Answerer:
    """What a worker answers of itself."""

    async def answer(_: Any) -> Any:
        return guarding().part()

    return answer
