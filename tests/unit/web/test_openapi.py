"""/openapi.json says what is served and what it takes: held against the views and the contract page."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from fanout_app.web.openapi import OPERATIONS
from unit.web.contract_page import routes
from unit.web.harness import Served, serving


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with serving() as served:
        yield served


async def read(there: Served) -> dict[str, Any]:
    status, headers, document = await there.ask("GET", "/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert isinstance(document, dict)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


async def test_it_lists_what_the_contract_page_lists_with_the_same_roles(there: Served) -> None:
    listed = {(method, path, op.get("x-role", "none")) for method, path, op in operations(await read(there))}
    assert listed == set(routes())
    assert {(method, path) for method, path, _ in listed} == OPERATIONS.keys()


async def test_every_reference_leads_somewhere(there: Served) -> None:
    document = await read(there)
    assert document["openapi"].startswith("3.1")
    named = set(re.findall(r'"#/components/schemas/(\w+)"', msgspec.json.encode(document).decode()))
    assert named
    assert named == document["components"]["schemas"].keys()


def properties(document: dict[str, Any], operation: dict[str, Any]) -> list[str] | None:
    """The fields of the body, None where none is taken."""
    if "requestBody" not in operation:
        return None
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return list(document["components"]["schemas"][name]["properties"])


async def test_each_takes_the_fields_that_it_is_said_to_take_and_no_other(there: Served) -> None:
    document = await read(there)
    for method, path, operation in operations(document):
        if method == "GET" and path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/dashboard/{file}"):
            continue  # whatever a load balancer or a browser asks is answered
        at = re.sub(r"{\w+}", "x", path)
        known = properties(document, operation)
        headers = {"If-Match": "*"} if path.startswith("/v1/canary") else {}
        how = {"json": {"no such field": 1}} if known is not None else {}
        status, _, problem = await there.ask(method, at if known is not None else f"{at}?no=1", headers=headers, **how)
        assert status == 400, (method, path, problem)
        if known is not None:
            assert problem["errors"][0]["detail"] == f"unknown field; known here: {', '.join(known)}"
        query = [one["name"] for one in operation["parameters"] if one["in"] == "query"]
        if known is None and query:
            assert problem["errors"][0]["detail"] == f"unknown field; known here: {', '.join(query)}"
