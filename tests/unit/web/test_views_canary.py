"""The shares over HTTP: which version a change is of, what is refused, and who may not be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fanout_app.core.canary import Guard
from fanout_app.core.errors import UnavailableError
from unit.web.harness import Served, serving

PATH = "/v1/canary"
ANY = {"If-Match": "*"}
SPLIT = {"stable": 95, "canary": 5}


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    """A worker that leads."""
    async with serving() as served:
        served.runtime.leading.lead(served.runtime.canary)
        yield served


async def put(there: Served, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()} or ANY
    return await there.ask("PUT", PATH, json=body, headers=given)


async def fields(there: Served, body: Any) -> list[str]:
    """The fields at fault; nothing was changed."""
    before = there.runtime.canary.state
    status, _, problem = await put(there, body)
    assert (status, problem["type"]) == (400, "urn:fanout:problem:invalid-field"), problem
    assert there.runtime.canary.state is before
    return [fault["field"] for fault in problem["errors"]]


async def test_where_each_group_gets_every_message_there_are_no_shares() -> None:
    async with serving(broadcast=True) as there:
        there.runtime.leading.lead(there.runtime.canary)
        for method, path, body in (
            ("PUT", PATH, {"weights": SPLIT}),
            ("POST", f"{PATH}/promote", {"group": "canary"}),
            ("POST", f"{PATH}/rollback", {"group": "canary"}),
        ):
            status, _, problem = await there.ask(method, path, json=body, headers=ANY)
            assert (status, problem["type"]) == (400, "urn:fanout:problem:invalid-field")
            assert "there are no shares" in problem["detail"]
        assert there.runtime.canary.state.version == 0


# Which version it is a change of -------------------------------------------------------------------------------------


async def test_an_answer_is_what_get_answers_from_then_on(there: Served) -> None:
    _, first, before = await there.ask("GET", PATH)
    assert before["weights"] == {"stable": 100}
    status, headers, body = await put(there, {"weights": SPLIT, "by": "key"}, If_Match=first["Etag"])
    assert (status, body["weights"], body["by"]) == (200, SPLIT, "key")
    assert headers["Etag"] != first["Etag"]
    _, again, shown = await there.ask("GET", PATH)
    assert (again["Etag"], shown["weights"]) == (headers["Etag"], SPLIT)


async def test_a_put_without_if_match_is_428_and_changes_nothing(there: Served) -> None:
    status, _, problem = await there.ask("PUT", PATH, json={"weights": SPLIT})
    assert (status, problem["type"]) == (428, "urn:fanout:problem:precondition-failed")
    assert there.runtime.canary.state.version == 0


@pytest.mark.parametrize("value", ["", " ", ",", '"0-0', "0-0", '*, "0-0"', '"a" "b"'])
async def test_an_if_match_that_names_nothing_does_not_overrule(there: Served, value: str) -> None:
    status, _, problem = await put(there, {"weights": SPLIT}, If_Match=value)
    assert (status, [fault["field"] for fault in problem["errors"]]) == (400, ["If-Match"])
    assert there.runtime.canary.state.version == 0


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("*", 200),
        (" * ", 200),
        ('"0-0"', 200),
        ('"x", "0-0"', 200),
        ('"x","y", ,"0-0"', 200),
        ('"x"', 412),
        ('"0-1"', 412),
        ('W/"0-0"', 412),
        ('"0-0,"', 412),
    ],
)
async def test_one_of_the_tags_must_be_that_of_what_holds(there: Served, value: str, status: int) -> None:
    assert (await put(there, {"weights": SPLIT}, If_Match=value))[0] == status
    assert (there.runtime.canary.state.weights == SPLIT) == (status == 200)


async def test_a_lost_race_says_what_holds_now(there: Served) -> None:
    _, headers, _ = await put(there, {"weights": SPLIT})
    changes: list[tuple[str, str]] = [("PUT", ""), ("POST", "/promote"), ("POST", "/rollback")]
    for method, path in changes:
        status, _, problem = await there.ask(method, PATH + path, json={}, headers={"If-Match": '"0-0"'})
        assert (status, problem["type"]) == (412, "urn:fanout:problem:precondition-failed")
        assert headers["Etag"].strip('"') in problem["detail"]
    assert there.runtime.canary.state.weights == SPLIT


# What is asked for ---------------------------------------------------------------------------------------------------


async def test_a_put_is_all_that_holds(there: Served) -> None:
    await put(there, {"weights": SPLIT, "by": "key", "guard": {"max_failure_ratio": None, "window_ms": 1000}})
    plan = there.runtime.canary.state.plans["canary"]
    assert plan.guard is not None
    assert (plan.guard.window_ms, plan.guard.min_samples, plan.guard.max_failure_ratio) == (1000, 20, None)
    _, _, body = await put(there, {})
    assert (body["weights"], body["by"]) == ({"stable": 100}, "message")
    assert there.runtime.canary.state.plans == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"weights": {"stable": -1}}, "weights"),
        ({"weights": {"stable": 1_000_001}}, "weights"),
        ({"weights": {"stable": 1.5}}, "weights"),
        ({"weights": {"stable": True}}, "weights"),
        ({"weights": {"stable": "1"}}, "weights"),
        ({"weights": {"": 1}}, "weights"),
        ({"weights": {"a\n": 1}}, "weights"),
        ({"weights": {"\u00e9": 1, "e\u0301": 1}}, "weights"),
        ({"weights": {f"g{number}": 1 for number in range(101)}}, "weights"),
        ({"weights": None}, "weights"),
        ({"by": "partition"}, "by"),
        ({"weight": {}}, "weight"),
        ({"weights": SPLIT, "guard": {"min_samples": 0}}, "guard.min_samples"),
        ({"weights": SPLIT, "guard": {"samples": 1}}, "guard.samples"),
        ({"weights": SPLIT, "steps": [{"weight": 1}]}, "steps[0].hold_ms"),
        ({"weights": SPLIT, "steps": [{"weight": 1, "hold_ms": 0}] * 101}, "steps"),
        ({"guard": {}}, "group"),
        ({"weights": {"a": 1, "b": 1}, "guard": {}}, "group"),
        ({"weights": {"a": 1, "b": 1}, "steps": [{"weight": 1, "hold_ms": 0}]}, "group"),
        ({"weights": SPLIT, "group": "stable"}, "group"),
    ],
)
async def test_what_makes_no_sense_names_its_field(there: Served, body: dict[str, Any], field: str) -> None:
    assert await fields(there, body) == [field]


async def test_weights_go_from_nothing_to_a_million_in_up_to_a_hundred_groups(there: Served) -> None:
    weights = {f"g{number}": number % 2 * 1_000_000 for number in range(100)}
    status, _, body = await put(there, {"weights": weights})
    assert (status, body["weights"]) == (200, weights)


async def test_promote_and_rollback_are_for_the_only_other_group_or_the_one_that_is_named(there: Served) -> None:
    await put(there, {"weights": SPLIT, "guard": {}})
    _, _, body = await there.ask("POST", f"{PATH}/promote", json={})
    assert (body["weights"], body["groups"]["canary"]["guard"]) == ({"stable": 0, "canary": 100}, None)
    _, _, body = await there.ask("POST", f"{PATH}/rollback", json={"group": "canary"})
    assert body["weights"] == {"stable": 100, "canary": 0}
    assert (body["groups"]["canary"]["verdict"], body["groups"]["canary"]["reason"]) == ("rolled-back", "by hand")
    await put(there, {"weights": {"a": 1, "b": 2}})
    for path in ("promote", "rollback"):
        for group in ({}, {"group": "c"}, {"group": "stable"}):
            status, _, problem = await there.ask("POST", f"{PATH}/{path}", json=group)
            assert (status, problem["errors"][0]["field"]) == (400, "group")
    assert there.runtime.canary.state.weights == {"a": 1, "b": 2}


# Nobody to ask -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("PUT", ""), ("POST", "/promote"), ("POST", "/rollback")])
async def test_without_a_leader_a_change_is_503_and_reading_goes_on(there: Served, method: str, path: str) -> None:
    await put(there, {"weights": SPLIT})
    there.runtime.leading.acting, there.runtime.leading.led_by = False, None
    status, headers, _ = await there.ask(method, PATH + path, json={}, headers=ANY)
    assert (status, headers["Retry-After"]) == (503, "1")
    status, _, body = await there.ask("GET", PATH)
    assert (status, body["weights"]) == (200, SPLIT)


async def test_what_kafka_does_not_take_is_not_known_to_hold(there: Served) -> None:
    async def down() -> None:
        raise UnavailableError("the change could not be written: ask again")

    there.runtime.kafka = down
    status, headers, _ = await put(there, {"weights": SPLIT})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert there.runtime.canary.state.weights == {"stable": 100}


# What is shown ---------------------------------------------------------------------------------------------------


async def test_an_empty_guard_is_one_with_all_defaults_and_none_is_none(there: Served) -> None:
    await put(there, {"weights": SPLIT, "guard": {}})
    assert there.runtime.canary.state.plans["canary"].guard == Guard()
    _, _, body = await put(there, {"weights": SPLIT})
    assert (body["groups"]["canary"]["guard"], body["groups"]["canary"]["verdict"]) == (None, None)


async def test_how_it_stands_with_a_group(there: Served) -> None:
    await put(there, {"weights": {"stable": 1, "canary": 1}, "guard": {"min_samples": 3}})
    windows, began = there.runtime.dispatcher.leases.windows, there.runtime.clock
    windows.delivered("stable", 12, began)
    windows.delivered("canary", 4, began)
    windows.acked("canary", 0.5, 4, began + 1.0)
    there.runtime.clock += 2.0
    _, _, body = await there.ask("GET", PATH)
    canary = body["groups"]["canary"]
    assert (canary["delivered"], canary["acked"], canary["nacked"], canary["expired"]) == (4, 4, 0, 0)
    assert 500 <= canary["ack_p50_ms"] <= 525
    assert canary["share_measured"] == pytest.approx(0.25)
    assert (canary["verdict"], canary["reason"], canary["local_hold"]) == ("good", "0 of 4 failed", False)
    assert body["groups"]["stable"]["verdict"] is None


async def test_metrics_tell_of_groups_that_have_a_weight(there: Served) -> None:
    await put(there, {"weights": {"stable": 1, "canary": 1}})
    there.runtime.offer(b"x")
    await there.pull(client="a", group="stable", max_messages=1)
    text = (await there.ask("GET", "/metrics"))[2].decode()
    assert 'fanout_group_weight{group="canary"} 1.0' in text
    assert 'fanout_group_deliveries_total{group="stable"} 1.0' in text
    assert 'fanout_group_ended_total{group="canary",how="nacked"} 0.0' in text
    assert 'fanout_canary_decisions_total{decision="rolled back"} 0.0' in text
