"""The description of all this for programs: OpenAPI 3.1, made of the schemas that requests are read by.

`docs/api.md` is the contract, for people; this says the same where it can be said so, and tests hold it against the
views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web
from msgspec import Struct

from fanout_app.web import schemas, shapes
from fanout_app.web.access import Access
from fanout_app.web.codecs import JSON, OF_ALL, OF_MESSAGES, Form

_PROBLEM: Final = "application/problem+json"
_REF: Final = "#/components/schemas/{name}"


class Operation(NamedTuple):
    """What is asked and answered at one address."""

    summary: str
    #: Of status 200.
    gives: type[Struct] | str | None = None
    body: type[Struct] | None = None
    query: type[Struct] | None = None
    #: Other answers that are no problems.
    also: Mapping[int, str] = {}
    headers: tuple[str, ...] = ()
    forms: tuple[Form, ...] = OF_ALL


_NOTHING_CAME = "Nothing came within `wait_ms`; `Fanout-Empty` says why."
_SETTLED_ONE = {204: "Done. `Fanout-Late: 1` says that the lease had ended: it counts all the same."}
_ELSEWHERE = "With --routing redirect: ask at `Location`."

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/v1/pull"): Operation(
        "Take messages, and settle those before", shapes.Pulled, schemas.PullBody, schemas.PullQuery,
        {204: _NOTHING_CAME, 307: _ELSEWHERE}, ("Fanout-Client",), OF_MESSAGES,
    ),
    ("POST", "/v1/settle"): Operation(
        "Ack, nack, extend and reject", shapes.Settled, schemas.SettleBody, forms=OF_MESSAGES
    ),
    ("POST", "/v1/next"): Operation(
        "Take one message: its bytes are the body, its lease is in `Location`", "application/octet-stream",
        query=schemas.NextQuery, also={204: _NOTHING_CAME, 307: _ELSEWHERE}, headers=("Fanout-Client",),
    ),
    ("GET", "/v1/leases/{lease}"): Operation("How a lease stands", shapes.LeaseState),
    ("DELETE", "/v1/leases/{lease}"): Operation("Ack", also=_SETTLED_ONE),
    ("POST", "/v1/leases/{lease}/nack"): Operation("Nack", query=schemas.NackQuery, also=_SETTLED_ONE),
    ("POST", "/v1/leases/{lease}/extend"): Operation("Extend", query=schemas.ExtendQuery, also=_SETTLED_ONE),
    ("POST", "/v1/leases/{lease}/reject"): Operation("Reject", query=schemas.RejectQuery, also=_SETTLED_ONE),
    ("GET", "/v1/leases"): Operation("The live leases, oldest first", shapes.Leases, query=schemas.LeasesQuery),
    ("GET", "/v1/clients"): Operation("The clients that are alive", shapes.Clients),
    ("DELETE", "/v1/clients/{client}"): Operation("A client leaves now", also={204: "It has left."}),
    ("GET", "/v1/parked"): Operation("Messages that were given up on", shapes.Parked, query=schemas.ParkedQuery),
    ("POST", "/v1/parked/redrive"): Operation("Send them back to the topic", shapes.Redriven, schemas.RedriveBody),
    ("POST", "/v1/pause"): Operation("Hand nothing out", shapes.Paused),
    ("POST", "/v1/resume"): Operation("Go on", shapes.Paused),
    ("POST", "/v1/seek"): Operation("Go on at another offset", shapes.Sought, schemas.SeekBody),
    ("GET", "/v1/canary"): Operation("The shares of groups, and how it stands with them", shapes.Canary),
    ("PUT", "/v1/canary"): Operation("Set them", shapes.Canary, schemas.CanaryBody, headers=("If-Match",)),
    ("POST", "/v1/canary/promote"): Operation(
        "A group gets everything", shapes.Canary, schemas.GroupBody, headers=("If-Match",)
    ),
    ("POST", "/v1/canary/rollback"): Operation(
        "A group gets nothing", shapes.Canary, schemas.GroupBody, headers=("If-Match",)
    ),
    ("GET", "/v1/status"): Operation("The whole, and the worker asked", shapes.Status),
    ("GET", "/v1/partitions"): Operation("Each partition, with its owner", shapes.Partitions),
    ("GET", "/v1/workers"): Operation("Who is in the cluster", shapes.Workers),
    ("GET", "/v1/leader"): Operation("Who leads it", shapes.Leader),
    ("GET", "/"): Operation("The dashboard, a page for people", "text/html"),
    ("GET", "/dashboard/{file}"): Operation("Its files", "*/*"),
    ("GET", "/v1/events"): Operation("How all of it stands, once a second", "text/event-stream"),
    ("GET", "/healthz"): Operation("Whether this worker should be restarted", shapes.Healthy),
    ("GET", "/readyz"): Operation("Whether this worker can answer a pull", shapes.Ready),
    ("GET", "/metrics"): Operation("Metrics for Prometheus", "text/plain"),
    ("GET", "/openapi.json"): Operation("This document", "application/json"),
}  # fmt: skip


class Described(NamedTuple):
    """An address that is served, and whom it answers."""

    method: str
    path: str
    access: Access


def document(served: Iterable[Described], *, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of these addresses. Raises KeyError for one that `OPERATIONS` knows nothing of."""
    structs: list[type[Struct]] = [shapes.Problem]
    paths: dict[str, dict[str, Any]] = {}
    for method, path, access in served:
        operation = OPERATIONS[method, path]
        structs += [one for one in (operation.gives, operation.body) if one is not None and not isinstance(one, str)]
        paths.setdefault(path, {})[method.lower()] = _operation(operation, path, access)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fanout",
            "version": version,
            "description": "A Kafka topic as a work queue over HTTP. The contract is docs/api.md of its repository.",
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(*structs),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "With --tokens-file."}},
        },
    }


@cache
def _schemas(*structs: type[Struct]) -> Mapping[str, Any]:
    """By name; made once, as a process of tests serves many times, and they are most of what that costs."""
    return msgspec.json.schema_components(structs, ref_template=_REF)[1]


def _operation(operation: Operation, path: str, access: Access) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "parameters": [*_of_path(path), *_of_query(operation.query), *map(_header, operation.headers)],
        "responses": _responses(operation),
    }
    if access is not Access.ANYONE:
        described["security"] = [{"token": []}, {}]
        described["x-role"] = access.value
    if operation.body is not None:
        described["requestBody"] = {"required": False, "content": _in_each_form(operation, operation.body)}
    return described


def _in_each_form(operation: Operation, kind: type[Struct]) -> dict[str, Any]:
    described = {"schema": {"$ref": _REF.format(name=kind.__name__)}}
    return {form.media_types[0]: described for form in operation.forms}


def _of_path(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _of_query(query: type[Struct] | None) -> list[dict[str, Any]]:
    if query is None:
        return []
    schema = _schemas(query)[query.__name__]
    needed = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if isinstance(operation.gives, str):
        responses["200"] = {"description": "Done.", "content": {operation.gives: {}}}
    elif operation.gives is not None:
        responses["200"] = {"description": "Done.", "content": _in_each_form(operation, operation.gives)}
    for status, description in operation.also.items():
        responses[str(status)] = {"description": description}
    problem = {"schema": {"$ref": _REF.format(name=shapes.Problem.__name__)}}
    responses["default"] = {"description": "A problem, with its remedy.", "content": {_PROBLEM: problem}}
    return responses


class OpenApiView:
    """``GET /openapi.json``."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._body: bytes = b""

    def describe(self, served: Iterable[Described]) -> None:
        """These are the addresses."""
        self._body = JSON.encode(document(served, version=self._version))

    async def show(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._body, headers={"Content-Type": JSON.media_types[0]})
