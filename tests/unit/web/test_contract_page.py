"""docs/api.md says what the code does: addresses, fields with their ranges, reasons for an empty answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import pytest
from aiohttp import web
from msgspec import inspect

from fanout_app.connection_options import CONNECTION_OPTIONS
from fanout_app.core.requests import Empty
from fanout_app.lease_keys import LeaseKeys
from fanout_app.options import TABLE
from fanout_app.web import schemas
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import install
from unit.web.contract_page import PAGE, routes, table
from unit.web.fake_runtime import FakeRuntime

#: Offsets, times and ages: whatever number fits Kafka, so no range is documented.
UNBOUNDED = schemas.HIGHEST

_CONTEXT = click.Context(click.Command("fanout"))
DEFAULTS = {
    option.name: option.type_cast_value(_CONTEXT, option.default)
    for option in TABLE
    if option.name in ("ack_wait", "max_waiting", *(option.name for option in CONNECTION_OPTIONS))
}


# Addresses -----------------------------------------------------------------------------------------------------------


def _served() -> set[tuple[str, str]]:
    app = web.Application()
    install(app, FakeRuntime(), TokenCodec(LeaseKeys([b"k"]), "i", "t"), render_metrics=lambda: (b"", ""))
    return {
        (route.method, resource.canonical)
        for resource in app.router.resources()
        for route in resource
        if route.method not in ("*", "HEAD")
    }


def _documented() -> set[tuple[str, str]]:
    return {(method, address) for method, address, _ in routes()}


def test_the_page_lists_every_address_that_is_served_and_no_other() -> None:
    assert _documented() == _served()


def test_what_else_the_page_names_is_marked_as_not_served() -> None:
    known = {address for _, address in _served()} | {"/v1/leases/{lease}/", "/internal/"}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        if "not yet" in section.splitlines()[0]:
            continue
        for found in re.finditer(r"/v1/[a-z/{}]*|/[a-z]+z\b|/metrics|/openapi\.json|/internal/", section):
            near = section[max(0, found.start() - 60) : found.end() + 60]
            assert found[0] in known or "not yet" in near, near


# Fields --------------------------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    amount, _, unit = text.partition(" ")
    return int(amount) << {"": 0, "KiB": 10, "MiB": 20}[unit]


def _schemas() -> list[type[msgspec.Struct]]:
    found = [kind for kind in vars(schemas).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    return [kind for kind in found if kind is not msgspec.Struct]


def _ranges() -> Iterator[tuple[str, int, int]]:
    """Name, lowest and highest value of every number that a request may hold."""
    for kind in _schemas():
        for name, field in _inspected(kind).items():
            for choice in field.types if isinstance(field, inspect.UnionType) else (field,):
                if isinstance(choice, inspect.IntType) and choice.le != UNBOUNDED:
                    assert choice.ge is not None, f"{kind.__name__}.{name} has no lowest value"
                    assert choice.le is not None, f"{kind.__name__}.{name} has no highest value"
                    yield name, choice.ge, choice.le


def _inspected(kind: type[msgspec.Struct]) -> dict[str, Any]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: field.type for field in info.fields}


PULL_ROWS = {name.strip("`"): limits for name, limits, _ in table("| field | default, range | meaning |")}


def test_the_page_lists_every_field_of_a_pull_and_no_other() -> None:
    assert PULL_ROWS.keys() == _inspected(schemas.PullBody).keys()


@pytest.mark.parametrize("field", ["wait_ms", "max_messages", "max_bytes", "ack_wait_ms"])
def test_a_field_of_a_pull_has_the_default_and_the_range_of_the_page(field: str) -> None:
    match = re.fullmatch(r"(?:`--ack-wait` \()?(\d[^,)]*)\)?, (?:(\d\S*) )?to (\d.*)", PULL_ROWS[field])
    assert match, PULL_ROWS[field]
    default, low, high = match.groups()
    (limits,) = {(ge, le) for name, ge, le in _ranges() if name == field}
    assert limits == (_number(low or "1"), _number(high))
    made = getattr(schemas.PullBody(), field)
    if isinstance(made, msgspec.UnsetType):
        made = round(1000 * DEFAULTS["ack_wait"])
    assert made == _number(default)


def test_every_range_of_a_number_is_on_the_page() -> None:
    written = {
        (name, _number(low + (unit or "")), _number(high + (unit or "")) if unit else _number(high))
        for name, low, high, unit in re.findall(r"`(\w+)` \(?(\d+) to (\d+)( [KM]iB)?", PAGE)
    }
    written |= {(name, 1, _number(high)) for name, high in re.findall(r"`(\w+)` \(1 to (\d+ MiB)", PAGE)}
    for name in ("wait_ms", "max_messages", "max_bytes", "ack_wait_ms"):
        low, high = next((ge, le) for field, ge, le in _ranges() if field == name)
        written.add((name, low, high))  # by the test above
    # A partition is a number that the topic has.
    assert {row for row in _ranges() if row[0] != "partition"} <= written


def test_lists_reasons_and_bodies_are_as_large_as_the_page_says() -> None:
    kinds: list[type[msgspec.Struct]] = [schemas.SettleBody, schemas.RedriveBody]
    for kind in kinds:
        for name, field in _inspected(kind).items():
            for choice in field.types if isinstance(field, inspect.UnionType) else (field,):
                if isinstance(choice, inspect.ListType):
                    assert choice.max_length == schemas.MAX_ENTRIES == 1000, name
    assert "Up to 1000 entries a list" in PAGE
    assert "(1 to 1000 names)" in PAGE
    for kind in _schemas():
        reason = _inspected(kind).get("reason")
        assert reason is None or reason.max_length == 4096
    assert "`reason` is at most 4096 characters" in PAGE
    assert DEFAULTS["max_body_size"] == 4 << 20
    assert "a body is at most 4 MiB (`--max-body-size`;" in PAGE
    assert DEFAULTS["max_waiting"] == 10_000
    assert "`--max-waiting` (10,000 pulls a worker;" in PAGE


def test_what_a_client_may_ask_of_a_connection_is_what_the_page_says() -> None:
    assert DEFAULTS["max_header_size"] == 8 << 10
    assert "8 KiB (`--max-header-size`;" in PAGE
    assert DEFAULTS["request_timeout"] == 10.0
    assert "10 s (`--request-timeout`)" in PAGE
    assert DEFAULTS["answer_timeout"] == 30.0
    assert "30 s (`--answer-timeout`)" in PAGE
    assert DEFAULTS["idle_timeout"] == 120.0
    assert "2 minutes (`--idle-timeout`)" in PAGE
    assert DEFAULTS["max_connections"] is None
    assert "twice `--max-waiting` (`--max-connections`)" in PAGE
    assert DEFAULTS["max_streams"] == 20
    assert "20 streams (`--max-streams`)" in PAGE


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        (schemas.SettleBody, r"`\{(\"ack\":\[token,[^`]*)\}`; a token is"),
        (schemas.SeekBody, r"`POST /v1/seek` with `\{([^`]*)\}`"),
        (schemas.LeasesQuery, r"`GET /v1/leases\?([^`]*)`"),
        (schemas.ParkedQuery, r"`GET /v1/parked\?([^`]*)`"),
    ],
)
def test_the_page_names_every_field_of_other_requests_and_no_other(kind: type[msgspec.Struct], shown: str) -> None:
    match = re.search(shown, PAGE)
    assert match
    # What stands in inner braces are the fields of its entries.
    outermost = re.sub(r"\{[^{}]*\}", "", match[1])
    named = re.findall(r'(?:^|, ?)"(\w+)"', outermost) or re.findall(r"(\w+)=", outermost)
    assert sorted(named) == sorted(_inspected(kind))


@pytest.mark.parametrize("kind", [schemas.LeasesQuery, schemas.ParkedQuery])
def test_the_defaults_of_a_query_are_those_of_the_page(kind: type[msgspec.Struct]) -> None:
    address = {schemas.LeasesQuery: "leases", schemas.ParkedQuery: "parked"}[kind]
    match = re.search(rf"`GET /v1/{address}\?([^`]*)`", PAGE)
    assert match
    written = dict(pair.split("=") for pair in match[1].split("&"))
    assert {name: str(getattr(kind(), name)) for name in written} == written


# Answers -------------------------------------------------------------------------------------------------------------


def test_the_reasons_for_an_empty_answer_are_those_of_the_page() -> None:
    match = re.search(r"`Fanout-Empty: ([^`]*)`", PAGE)
    assert match
    assert match[1].split(" | ") == [empty.value for empty in Empty]
