"""Requests of all kinds to every route: each is answered as documented, and one that is refused has changed nothing.

``FUZZ_EXAMPLES`` says how many runs of up to 25 requests are made.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fanout_app import overview
from fanout_app.web.access import Gate
from support.fuzz.contract import faults_of, refused
from support.fuzz.draft import PLACES, Draft
from support.fuzz.routes import routes_of
from support.fuzz.strategies import drafts
from support.fuzz.wire import ask
from unit.web.fake_runtime import FakeRuntime
from unit.web.harness import Served, serving

# Hypothesis means the strategy, which is large and not shown.
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

ROUTES = routes_of()
#: How often each status was answered.
SEEN: Counter[int] = Counter()


class Hasty(FakeRuntime):
    """Time stands still here, so nobody waits."""

    async def pull(self, *args: Any, **options: Any) -> Any:
        return await super().pull(*args, **{**options, "wait": 0.0})


async def prepared(there: Served) -> dict[str, str]:
    """Messages in every state; the tokens by their places."""
    runtime = there.runtime
    runtime.leading.lead(runtime.canary)
    runtime.offer(*[b"%d" % number for number in range(40)])
    runtime.parked.put(0)
    runtime.parked.put(3)
    pulled = await there.pull(client="holder", max_messages=6)
    leases = [message["lease"] for message in pulled["messages"]]
    ended = await there.pull(client="late", max_messages=2, ack_wait_ms=50)
    await there.settle(ack=[leases[0]], nack=[{"lease": leases[1], "delay_ms": 50_000}], reject=[{"lease": leases[2]}])
    runtime.after(1.0)
    tokens = [*leases[1:5], pulled["batch"], ended["messages"][0]["lease"], ended["batch"], leases[0]]
    return dict(zip(PLACES, tokens, strict=True))


def state(there: Served) -> object:
    """All that a request could change, as those who run it see it and beneath."""
    runtime = there.runtime
    dispatcher = runtime.dispatcher
    partitions = overview.partitions(dispatcher, "me")
    for row in partitions:
        del row["oldest_age_seconds"]  # counted by the wall clock
    return (
        partitions,
        [(number, part.snapshot()) for number, part in dispatcher.partitions.items()],
        [(one.name, one.in_flight, one.seen, one.delivered, one.acked, one.nacked) for one in dispatcher.clients],
        overview.live_leases(dispatcher, runtime.now(), 1000),
        repr(dispatcher.counters),
        overview.totals(dispatcher),
        runtime.pulls(),
        runtime.paused,
        runtime.canary.state,
        list(runtime.parked.messages),
        list(runtime.parked.redrives),
        [seek for seek in runtime.seeks if seek[0] != 99],  # which nobody owns
    )


def test_every_route_is_asked_for() -> None:
    """Those of workers among themselves too."""
    assert len(ROUTES) >= 25
    assert ("GET", "/internal/link") in ROUTES
    assert ("POST", "/v1/pull") in ROUTES


_many = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "90")),
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    database=None,
    # A failure shows the one request that it is about: there is nothing to make smaller.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@_many
@given(sent=st.lists(drafts(ROUTES), min_size=15, max_size=25))
async def test_whatever_is_asked_is_answered_as_documented_and_changes_nothing_where_it_is_refused(
    sent: list[Draft],
) -> None:
    async with serving(Hasty()) as there:
        tokens = await prepared(there)
        for draft in sent:
            before = state(there)
            got = await ask(there.port, draft.raw(tokens))
            SEEN[got.status] += 1
            assert not faults_of(draft, got), (faults_of(draft, got), draft.raw(tokens)[:2000], got)
            if refused(got):
                assert state(there) == before, (draft.raw(tokens)[:2000], got)


def test_there_was_something_of_everything_among_them() -> None:
    """Else the test before has shown little."""
    assert SEEN.keys() >= {200, 204, 400, 403, 404, 405, 406, 409, 417}, SEEN
    assert SEEN.total() >= 1000, SEEN
    assert min(SEEN[200] + SEEN[204], SEEN[400]) > SEEN.total() / 10, SEEN


@settings(_many, max_examples=15)
@given(sent=st.lists(drafts(ROUTES), min_size=15, max_size=25))
async def test_whoever_has_no_token_is_let_in_nowhere_and_changes_nothing(sent: list[Draft]) -> None:
    async with serving(Hasty(), gate=Gate({})) as there:
        there.runtime.offer(b"a")
        before = state(there)
        for draft in sent:
            got = await ask(there.port, draft.raw(dict.fromkeys(PLACES, "x")))
            assert not faults_of(draft, got), (faults_of(draft, got), draft.raw({})[:2000], got)
            reads = draft.method in ("GET", "HEAD")
            open_to_all = reads and draft.path in ("/healthz", "/readyz", "/")
            no_file = reads and draft.path.startswith("/dashboard/") and got.status == 404
            assert got.status in (200 if open_to_all else 401, 400, 403, 417) or no_file, (draft.raw({})[:2000], got)
        assert state(there) == before
