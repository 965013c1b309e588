"""What every answer must be, whatever was asked: definite, documented, and with its remedy (`docs/api.md`, Errors)."""

from __future__ import annotations

import json

from fanout_app.web.problems import Kind
from support.fuzz.draft import Draft
from support.fuzz.wire import Got

_GOOD = frozenset({200, 204, 307})
#: Of no type of ours.
_PLAIN = frozenset({408, 417, 503})
_TYPES = {kind.type: kind.status for kind in Kind}


def refused(got: Got) -> bool:
    return got.status >= 400


def faults_of(draft: Draft, got: Got) -> list[str]:
    """What is wrong with an answer, if anything."""
    if not refused(got):
        return [] if got.status in _GOOD else [f"{got.status} is documented nowhere"]
    found = []
    if got.headers.get("content-type") != "application/problem+json":
        found.append(f"is of type {got.headers.get('content-type')}")
    if got.status in (429, 503) and "retry-after" not in got.headers:
        found.append("does not say when to ask again")
    if got.status == 405 and not got.headers.get("allow"):
        found.append("does not say what is allowed")
    if got.status == 401 and not got.headers.get("www-authenticate"):
        found.append("does not say how to be let in")
    return found if draft.method == "HEAD" else found + _faults_of_problem(got)


def _faults_of_problem(got: Got) -> list[str]:
    try:
        problem = json.loads(got.body)
    except ValueError:
        return ["is not JSON"]
    found = []
    if problem.get("status") != got.status:
        found.append(f"says that its status is {problem.get('status')}")
    if not problem.get("title") or not problem.get("detail"):
        found.append("has no title or no detail")
    kind = problem.get("type")
    if _TYPES.get(kind) != got.status and not (kind == "about:blank" and got.status in _PLAIN):
        found.append(f"{kind} is no type of a {got.status}")
    # A field may have no name.
    if kind == Kind.INVALID_FIELD.type and not all("field" in fault and fault["detail"] for fault in problem["errors"]):
        found.append("names no fault")
    return found
