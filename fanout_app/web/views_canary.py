"""The views of the shares that groups have: read, set, given all of it, taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from aiohttp import web
from msgspec import UnsetType, structs

from fanout_app.cluster.leader_only import Wish
from fanout_app.core.canary import MOST_GROUPS, CanaryState, Guard, Plan, Step, Wanted
from fanout_app.core.canary_steps import verdicts
from fanout_app.core.errors import OutdatedError, RefusedError
from fanout_app.core.shares import STABLE
from fanout_app.core.windows import Tally
from fanout_app.guarding import Part, summed
from fanout_app.web.codecs import Form, asked_in, form_of
from fanout_app.web.handlers import read_body, refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Fault, Kind, Problem, invalid, refused
from fanout_app.web.schemas import CanaryBody, GroupBody, GuardBody
from fanout_app.web.translation import name_of
from fanout_app.web.unbroken import Unbroken
from fanout_app.web.validation import Body

#: As they are written in problems and answers, and not as aiohttp would.
ETAG: Final = "ETag"
IF_MATCH: Final = "If-Match"
_PUT: Final = Body(CanaryBody)
_GROUP: Final = Body(GroupBody)
#: One entry of If-Match (RFC 9110, 8.8.3 and 13.1.1).
_TAG: Final = re.compile(r'\s*(?:(?P<weak>W/)?"(?P<tag>[^"]*)")\s*(?:,|$)|\s*,|\s+$')


class CanaryViews:
    """Whatever changes is changed by the leader, and answered as everybody reads it from then on."""

    def __init__(self, runtime: Runtime, unbroken: Unbroken, *, shares: bool = True) -> None:
        """Without ``shares`` each group gets every message, and there is nothing to change."""
        self._shares = shares
        self._runtime = runtime
        self._unbroken = unbroken

    async def show(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        return await self._shown(form)

    async def put(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        self._refuse_without_shares()
        if IF_MATCH not in request.headers:
            raise Problem(
                Kind.PRECONDITION_REQUIRED,
                'send If-Match with the ETag of GET /v1/canary that this is a change of, or "*" to overrule',
            )
        tags = _tags(request)
        body: CanaryBody = _PUT.decode(await read_body(request), asked_in(request))
        return await self._changed(form, Wish(what="put", wanted=_wanted(body), tags=tags))

    async def promote(self, request: web.Request) -> web.StreamResponse:
        return await self._for_group(request, "promote")

    async def rollback(self, request: web.Request) -> web.StreamResponse:
        return await self._for_group(request, "rollback")

    async def _for_group(self, request: web.Request, what: Literal["promote", "rollback"]) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        self._refuse_without_shares()
        tags = _tags(request)
        body: GroupBody = _GROUP.decode(await read_body(request), asked_in(request))
        group = None if body.group is None else name_of(body.group, "group")
        return await self._changed(form, Wish(what=what, group=group, tags=tags))

    def _refuse_without_shares(self) -> None:
        if not self._shares:
            raise Problem(
                Kind.INVALID_FIELD, "with --delivery broadcast each group gets every message: there are no shares"
            )

    async def _changed(self, form: Form, wish: Wish) -> web.StreamResponse:
        try:
            await self._unbroken.run(wish.what, self._runtime.leader_only.change(wish))
        except OutdatedError as error:
            raise Problem(Kind.PRECONDITION_FAILED, str(error)) from None
        except RefusedError as error:
            raise refused(error) from None
        return await self._shown(form)

    async def _shown(self, form: Form) -> web.StreamResponse:
        body, tag = await canary_of(self._runtime)
        response = form.response(body)
        response.headers[ETAG] = tag
        return response


async def canary_of(runtime: Runtime) -> tuple[dict[str, Any], str]:
    """The body of GET /v1/canary, and its ETag."""
    state = runtime.canary.state
    return _body(state, await runtime.guarding.parts()), f'"{state.tag}"'


def _tags(request: web.Request) -> list[str] | None:
    """The tags of which one must be that of what holds; None: any will do. Raises `Problem`."""
    given = ", ".join(request.headers.getall(IF_MATCH, ("*",))).strip()
    if given == "*":
        return None
    entries: list[re.Match[str]] = []
    at = 0
    while at < len(given):
        entry = _TAG.match(given, at)
        if entry is None:
            raise _no_tags()
        entries.append(entry)
        at = entry.end()
    if all(entry["tag"] is None for entry in entries):
        raise _no_tags()
    # A weak one names what is as good as the other, which is not enough to build on.
    return [entry["tag"] for entry in entries if entry["tag"] is not None and not entry["weak"]]


def _no_tags() -> Problem:
    return invalid([Fault(IF_MATCH, 'expected ETags in quotes, joined by commas, or "*" alone')])


def _wanted(body: CanaryBody) -> Wanted:
    """Raises `Problem`."""
    wanted: dict[str, int] = {STABLE: 100} if isinstance(body.weights, UnsetType) else {}
    for given, weight in ({} if isinstance(body.weights, UnsetType) else body.weights).items():
        name = name_of(given, "weights")
        if name in wanted:
            raise invalid([Fault("weights", f"{name} is there twice, in two forms of Unicode")])
        wanted[name] = weight
    if len(wanted) > MOST_GROUPS:
        raise invalid([Fault("weights", f"up to {MOST_GROUPS} groups can have one, these are {len(wanted)}")])
    return Wanted(
        weights=wanted,
        by=body.by,
        group=None if body.group is None else name_of(body.group, "group"),
        guard=None if body.guard is None else _guard(body.guard),
        steps=tuple(Step(step.weight, step.hold_ms) for step in body.steps),
    )


def _guard(body: GuardBody) -> Guard:
    said = {name: value for name, value in structs.asdict(body).items() if not isinstance(value, UnsetType)}
    return Guard(**said)


def _body(state: CanaryState, parts: Sequence[Part]) -> dict[str, Any]:
    tallies = summed(parts)
    rates = {group: tally.delivered / tally.seconds for group, tally in tallies.items() if tally.seconds}
    return {
        "version": state.version,
        "by": state.by,
        "weights": state.weights,
        "groups": {
            group: {
                **_wanted_of(state, group),
                "share_measured": rates.get(group, 0.0) / sum(rates.values()) if any(rates.values()) else 0.0,
                **_counted(group, tallies.get(group, Tally()), parts),
                **_judged(state, group, tallies),
                "local_hold": any(group in part.held for part in parts),
            }
            for group in {**state.weights, **state.plans, **tallies}
        },
    }


def _wanted_of(state: CanaryState, group: str) -> dict[str, Any]:
    total, weight = sum(state.weights.values()), state.weights.get(group, 0)
    return {"weight": weight, "share_wanted": weight / total if total else 0.0}


def _counted(group: str, tally: Tally, parts: Sequence[Part]) -> dict[str, Any]:
    """What happened since the workers began, and in the window."""
    totals = [sum(part.totals[group][column] for part in parts if group in part.totals) for column in range(4)]
    return {
        **dict(zip(("delivered", "acked", "nacked", "expired"), totals, strict=True)),
        "ack_p50_ms": milliseconds(tally.latency(0.50)),
        "ack_p99_ms": milliseconds(tally.latency(0.99)),
        "window": {
            "seconds": round(tally.seconds, 3),
            "delivered": tally.delivered,
            "acked": tally.acked,
            "nacked": tally.nacked,
            "expired": tally.expired,
        },
    }


def milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)


def _judged(state: CanaryState, group: str, tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """What was decided of a group, else what its guard thinks of it; nothing of one that nobody guards."""
    plan = state.plans.get(group, Plan())
    verdict = verdicts(state, tallies).get(group)
    kind, reason = (verdict.kind, verdict.reason) if verdict is not None else ("", "")
    if plan.outcome and kind != "failing":
        kind, reason = plan.outcome, plan.reason
    return {
        "verdict": kind or None,
        "reason": reason or None,
        "guard": plan.guard,
        "steps": plan.steps,
        "step": plan.step if plan.steps else None,
    }
