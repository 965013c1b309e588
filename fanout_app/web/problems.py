"""Every error that a client sees: application/problem+json (RFC 9457), of one of the kinds of `docs/api.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from fanout_app.core.errors import RefusedError

RETRY_AFTER_SECONDS: Final = 1
_PREFIX: Final = "urn:fanout:problem:"
_CONTENT_TYPE: Final = "application/problem+json"
_RETRIED: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Kind(Enum):
    """Kinds of problem: the end of the type, the status, the title."""

    INVALID_FIELD = ("invalid-field", 400, "The request has fields that are not as they must be")
    UNAUTHORIZED = ("unauthorized", 401, "A token is needed")
    FORBIDDEN = ("forbidden", 403, "The token does not allow this")
    NOT_FOUND = ("not-found", 404, "There is nothing here")
    LEASE_UNKNOWN = ("lease-unknown", 404, "This worker's id and topic never gave that token")
    METHOD = ("method", 405, "The method is not allowed here")
    NOT_ACCEPTABLE = ("not-acceptable", 406, "No media type that is accepted can be served")
    LEASE_LOST = ("lease-lost", 409, "The lease has ended")
    LEASES_LIVE = ("leases-live", 409, "Leases are live")
    GONE = ("gone", 410, "The message is gone")
    PRECONDITION_FAILED = ("precondition-failed", 412, "Somebody else changed it first")
    PRECONDITION_REQUIRED = ("precondition-failed", 428, "Say which version this is a change of")
    TOO_LARGE = ("too-large", 413, "The request is too large")
    TOO_MANY_WAITING = ("too-many-waiting", 429, "Too many pulls wait")
    TOO_MANY_STREAMS = ("too-many-waiting", 429, "Too many streams of events are open")
    TOO_MANY_GROUPS = ("too-many-waiting", 429, "Too many groups have a ledger of their own")
    MOVING = ("moving", 503, "The partition is moving to another worker")
    KAFKA_UNREACHABLE = ("kafka-unreachable", 503, "Kafka cannot be reached")
    STOPPING = ("stopping", 503, "This worker is stopping")

    def __init__(self, type_end: str, status: int, title: str) -> None:
        self.type = _PREFIX + type_end
        self.status = status
        self.title = title


class Fault(NamedTuple):
    """One field that is not as it must be."""

    field: str
    detail: str


class Problem(Exception):
    """Ends a request with a problem for its answer. ``detail`` says what is wrong and what to do about it."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        faults: Iterable[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.faults = list(faults)
        self.headers = headers or {}

    def response(self) -> web.Response:
        kind = self.kind
        return _response(kind.type, kind.title, kind.status, self.detail, faults=self.faults, headers=self.headers)


def invalid(faults: list[Fault]) -> Problem:
    """The 400 that lists every fault."""
    detail = "; ".join(f"{fault.field}: {fault.detail}" for fault in faults[:3])
    if len(faults) > 3:
        detail += f"; and {len(faults) - 3} more, see errors"
    return Problem(Kind.INVALID_FIELD, detail, faults=faults)


def refused(error: RefusedError) -> Problem:
    """The 400 for a wish that makes no sense as things are."""
    field, _, detail = str(error).partition(": ")
    return invalid([Fault(field, detail)])


def plain(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A problem that says no more than its status does (RFC 9457, 4.2.1): of no kind in the list."""
    return _response("about:blank", HTTPStatus(status).phrase, status, detail, headers=headers or {})


_OF_STATUS: Final = {
    400: Kind.INVALID_FIELD,
    401: Kind.UNAUTHORIZED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    406: Kind.NOT_ACCEPTABLE,
    413: Kind.TOO_LARGE,
}
#: Headers that say how a text comes which is not sent as it is.
_OF_THE_TEXT: Final = {"content-type", "content-length"}


def from_http_exception(error: web.HTTPException) -> web.Response:
    """What aiohttp raises by itself, or somebody who knows nothing of problems, in our form."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return method_not_allowed(error.method, error.allowed_methods).response()
    kind = _OF_STATUS.get(error.status)
    detail = error.text or error.reason
    headers = {name: value for name, value in error.headers.items() if name.lower() not in _OF_THE_TEXT}
    if kind is None:
        response = plain(error.status, detail, headers)
    else:
        response = Problem(kind, detail, headers=headers).response()
    if isinstance(error, web.HTTPRequestTimeout):
        # What has come of the request is neither the beginning of another one nor worth waiting for.
        response.force_close()
    return response


def method_not_allowed(method: str, allowed: Iterable[str]) -> Problem:
    allow = ", ".join(sorted(allowed))
    remedy = "it changes state" if allow == "POST" else "see docs/api.md"
    return Problem(Kind.METHOD, f"{method} is not served here; use {allow} ({remedy})", headers={"Allow": allow})


def not_found(path: str) -> Problem:
    return Problem(Kind.NOT_FOUND, f"nothing is served at {path}; docs/api.md lists what is")


def _response(
    type_: str,
    title: str,
    status: int,
    detail: str,
    *,
    faults: list[Fault] | None = None,
    headers: Mapping[str, str],
) -> web.Response:
    body: dict[str, object] = {"type": type_, "title": title, "status": status, "detail": detail}
    if faults:
        body["errors"] = [fault._asdict() for fault in faults]
    sent = {"Content-Type": _CONTENT_TYPE, **headers}
    if status in _RETRIED:
        sent.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    return web.Response(status=status, body=_encode(body), headers=sent)


def _encode(body: dict[str, object]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:
        # aiohttp keeps bytes of a request line that are not UTF-8 as lone surrogates, and a detail may quote them.
        return msgspec.json.encode({key: _without_surrogates(value) for key, value in body.items()})


def _without_surrogates(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list):
        return [{key: _without_surrogates(text) for key, text in entry.items()} for entry in value]
    return value
