"""The views of the shares that groups have: read, set, given all of it, taken out."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

from aiohttp import web
from aiohttp.hdrs import ETAG, IF_MATCH
from msgspec import UnsetType, structs

from fanout_app.cluster.leader_only import Wish
from fanout_app.core.canary import MOST_GROUPS, CanaryState, Guard, Step, Wanted
from fanout_app.core.errors import OutdatedError, RefusedError
from fanout_app.core.shares import STABLE
from fanout_app.web.codecs import Form, asked_in_msgpack, form_of
from fanout_app.web.handlers import read_body, refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Fault, Kind, Problem, invalid
from fanout_app.web.schemas import CanaryBody, GroupBody, GuardBody
from fanout_app.web.translation import name_of
from fanout_app.web.unbroken import Unbroken
from fanout_app.web.validation import Body

_PUT: Final = Body(CanaryBody)
_GROUP: Final = Body(GroupBody)
#: One entry of If-Match (RFC 9110, 8.8.3 and 13.1.1).
_TAG: Final = re.compile(r'\s*(?:(?P<weak>W/)?"(?P<tag>[^"]*)")\s*(?:,|$)|\s*,|\s+$')


class CanaryViews:
    """Whatever changes is changed by the leader, and answered as everybody reads it from then on."""

    def __init__(self, runtime: Runtime, unbroken: Unbroken) -> None:
        self._runtime = runtime
        self._unbroken = unbroken

    async def show(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        return await self._shown(form)

    async def put(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        tags = _tags(request)
        if tags is None and IF_MATCH not in request.headers:
            raise Problem(
                Kind.PRECONDITION_REQUIRED,
                'send If-Match with the ETag of GET /v1/canary that this is a change of, or "*" to overrule',
            )
        body: CanaryBody = _PUT.decode(await read_body(request), msgpack=asked_in_msgpack(request))
        return await self._changed(form, Wish(what="put", wanted=_wanted(body), tags=tags))

    async def promote(self, request: web.Request) -> web.StreamResponse:
        return await self._for_group(request, "promote")

    async def rollback(self, request: web.Request) -> web.StreamResponse:
        return await self._for_group(request, "rollback")

    async def _for_group(self, request: web.Request, what: Literal["promote", "rollback"]) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        tags = _tags(request)
        body: GroupBody = _GROUP.decode(await read_body(request), msgpack=asked_in_msgpack(request))
        group = None if body.group is None else name_of(body.group, "group")
        return await self._changed(form, Wish(what=what, group=group, tags=tags))

    async def _changed(self, form: Form, wish: Wish) -> web.StreamResponse:
        try:
            await self._unbroken.run(wish.what, self._runtime.leader_only.change(wish))
        except OutdatedError as error:
            raise Problem(Kind.PRECONDITION_FAILED, str(error)) from None
        except RefusedError as error:
            name, _, detail = str(error).partition(": ")
            raise invalid([Fault(name, detail)]) from None
        return await self._shown(form)

    async def _shown(self, form: Form) -> web.StreamResponse:
        state = self._runtime.canary.state
        response = form.response(_body(state))
        response.headers[ETAG] = f'"{state.tag}"'
        return response


def _tags(request: web.Request) -> list[str] | None:
    """The tags of which one must be that of what holds; None: any will do. Raises `Problem`."""
    given = ", ".join(request.headers.getall(IF_MATCH, ()))
    if not given or given.strip() == "*":
        return None
    tags: list[str] = []
    at = 0
    while at < len(given):
        entry = _TAG.match(given, at)
        if entry is None:
            raise invalid([Fault(IF_MATCH, 'expected ETags in quotes, joined by commas, or "*" alone')])
        # It names one that is as good as the other, which is not enough to build on.
        if entry["tag"] is not None and not entry["weak"]:
            tags.append(entry["tag"])
        at = entry.end()
    return tags


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


def _body(state: CanaryState) -> dict[str, Any]:
    return {
        "version": state.version,
        "by": state.by,
        "weights": state.weights,
        "groups": {name: _group(state, name) for name in {**state.weights, **state.plans}},
    }


def _group(state: CanaryState, name: str) -> dict[str, Any]:
    plan = state.plans.get(name)
    total = sum(state.weights.values())
    weight = state.weights.get(name, 0)
    shown: dict[str, Any] = {"weight": weight, "share_wanted": weight / total if total else 0.0}
    if plan is not None:
        shown |= {
            "verdict": plan.outcome or "undecided",
            "reason": plan.reason,
            "guard": plan.guard,
            "steps": plan.steps,
            "step": plan.step,
        }
    return shown
