"""One lease by its own address: ack, nack, extend and reject it, and ask how it stands."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from fanout_app.core.requests import Entry, LeaseRef, LiveLease, Ref, Settle, SettleOutcome, Status, Verb
from fanout_app.core.settling import TABLE, Case
from fanout_app.web.codecs import form_of
from fanout_app.web.handlers import refuse_body, refuse_query
from fanout_app.web.ports import Runtime
from fanout_app.web.problems import Kind, Problem
from fanout_app.web.schemas import ExtendQuery, LeasesQuery, NackQuery, RejectQuery
from fanout_app.web.tokens import TokenCodec, UnknownKey
from fanout_app.web.translation import seconds
from fanout_app.web.validation import query
from fanout_app.web.views_messages import RETRY_DETAIL

_PROBLEMS: Final = {
    Status.LEASE_UNKNOWN: (Kind.LEASE_UNKNOWN, "the token is damaged, or of another id and topic: drop it"),
    Status.GONE: (Kind.GONE, "the topic was wound back or retention took the message: drop it"),
    Status.RETRY: (Kind.MOVING, RETRY_DETAIL),
    Status.LEASE_LOST: (
        Kind.LEASE_LOST,
        "the message is free for others: stop working on it, or ack it once it is done",
    ),
}
_SETTLED: Final = frozenset({Status.DONE, Status.LATE, Status.ALREADY_SETTLED})
_STATES: Final = {Case.SETTLED: "settled", Case.LIVE: "live", Case.ENDED: "ended"}


class LeaseViews:
    """/v1/leases, /v1/leases/{lease} and what hangs on it."""

    def __init__(self, runtime: Runtime, codec: TokenCodec, ack_wait: float) -> None:
        self._runtime = runtime
        self._codec = codec
        self._ack_wait = ack_wait

    async def ack(self, request: web.Request) -> web.StreamResponse:
        refuse_query(request)
        await refuse_body(request)
        token = request.match_info["lease"]
        return await self._settle(Settle(ack=[Entry(token=token, ref=self._ref(token))]))

    async def nack(self, request: web.Request) -> web.StreamResponse:
        options = query(NackQuery, request.query, list(request.query))
        await refuse_body(request)
        token = request.match_info["lease"]
        delay = seconds(options.delay_ms, None)
        entry = Entry(token=token, ref=self._ref(token), delay=delay, reason=options.reason)
        return await self._settle(Settle(nack=[entry]))

    async def extend(self, request: web.Request) -> web.StreamResponse:
        options = query(ExtendQuery, request.query, list(request.query))
        await refuse_body(request)
        token = request.match_info["lease"]
        entry = Entry(token=token, ref=self._ref(token), ack_wait=seconds(options.ack_wait_ms, self._ack_wait))
        return await self._settle(Settle(extend=[entry]))

    async def reject(self, request: web.Request) -> web.StreamResponse:
        options = query(RejectQuery, request.query, list(request.query))
        await refuse_body(request)
        token = request.match_info["lease"]
        return await self._settle(Settle(reject=[Entry(token=token, ref=self._ref(token), reason=options.reason)]))

    async def state(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        refuse_query(request)
        token = request.match_info["lease"]
        ref = self._ref(token)
        if not isinstance(ref, LeaseRef):
            raise Problem(
                Kind.LEASE_UNKNOWN, "this is no lease's token: a batch, or damaged, or of another id and topic"
            )
        case, deadline = await self._runtime.overall.lease_state(ref)
        if case not in _STATES:
            raise _problem(TABLE[case][Verb.EXTEND])
        state = self._described(token, ref, case, deadline)
        return form.response(state)

    async def index(self, request: web.Request) -> web.StreamResponse:
        form = form_of(request)
        options = query(LeasesQuery, request.query, list(request.query))
        leases = await self._runtime.overall.leases(options.min_age_ms / 1000, options.limit)
        now = self._runtime.now()
        return form.response({"leases": [self._row(lease, now) for lease in leases]})

    def _row(self, lease: LiveLease, now: float) -> dict[str, object]:
        return {
            "lease": self._codec.lease(lease.ref),
            "partition": lease.ref.partition,
            "offset": lease.ref.offset,
            "client": lease.client,
            "group": lease.group,
            "delivery_count": lease.ref.delivery_count,
            "age_ms": int((now - lease.delivered_at) * 1000),
            "lease_ends_unix_ms": self._runtime.unix_ms(lease.deadline),
            "time_left_ms": self._time_left_ms(lease.deadline),
        }

    def _time_left_ms(self, deadline: float) -> int:
        return max(0, int((deadline - self._runtime.now()) * 1000))

    def _described(self, token: str, ref: LeaseRef, case: Case, deadline: float | None) -> dict[str, object]:
        return {
            "lease": token,
            "state": _STATES[case],
            "partition": ref.partition,
            "offset": ref.offset,
            "delivery_count": ref.delivery_count,
            "lease_ends_unix_ms": None if deadline is None else self._runtime.unix_ms(deadline),
            "time_left_ms": 0 if deadline is None else self._time_left_ms(deadline),
        }

    def _ref(self, token: str) -> Ref | None:
        ref = self._codec.read(token)
        if isinstance(ref, UnknownKey):
            raise _problem(Status.RETRY)
        return ref

    async def _settle(self, settle: Settle) -> web.Response:
        status = _status(await self._runtime.settle(settle))
        if status not in _SETTLED:
            raise _problem(status)
        return web.Response(status=204, headers={"Fanout-Late": "1"} if status is Status.LATE else None)


def _status(outcome: SettleOutcome) -> Status:
    """How the one entry went. Of a batch it is done if any of it was: what is not in it any more went its own way."""
    if outcome.acked or outcome.nacked or outcome.extended or outcome.rejected:
        late = [status for _lease, status in outcome.results if status is Status.LATE]
        return late[0] if late else Status.DONE
    if not outcome.results:
        return Status.DONE
    status = outcome.results[0][1]
    return Status.LEASE_LOST if status is Status.NOT_IN_BATCH else status


def _problem(status: Status) -> Problem:
    kind, detail = _PROBLEMS[status]
    return Problem(kind, detail)
