"""The dashboard for Grafana shows what workers export, all of it, and panels do not lie over one another."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest

from fanout_app.metric_names import CATALOGUE
from support.rules import asked, dashboard, panels, shown
from unit.test_alerts import check

#: For whoever looks for a leak by hand.
NOT_SHOWN = {"process_virtual_memory_bytes"}
EACH_PANEL = pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])


@EACH_PANEL
def test_what_a_panel_asks_for_is_exported(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        check(asked(shown(target["expr"])))


@EACH_PANEL
def test_a_panel_goes_by_the_prometheus_and_the_job_that_were_chosen(panel: dict[str, Any]) -> None:
    assert {one["datasource"]["uid"] for one in (panel, *panel["targets"])} == {"${datasource}"}
    for target in panel["targets"]:
        for selected in asked(shown(target["expr"])).selected:
            assert ("job", "Re", "fanout-orders") in selected.matchers


@EACH_PANEL
def test_a_legend_names_the_labels_that_are_left(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        labels = asked(shown(target["expr"])).labels
        named = {word.split("}}")[0] for word in target["legendFormat"].split("{{")[1:]}
        assert named <= (labels or {"instance"})


def test_every_metric_is_shown() -> None:
    names = {
        one.name for panel in panels() for target in panel["targets"] for one in asked(shown(target["expr"])).selected
    }
    missing = [
        metric.name
        for metric in CATALOGUE
        if not names & {metric.name, f"{metric.name}_bucket"} and metric.name not in NOT_SHOWN
    ]
    assert missing == []


def test_variables_are_those_that_are_used() -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    assert variables.keys() == {"datasource", "job"}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["job"]["definition"] == "label_values(fanout_info, job)"


def test_panels_have_numbers_of_their_own_and_room_for_themselves() -> None:
    placed = dashboard()["panels"]
    assert len({panel["id"] for panel in placed}) == len(placed)
    for panel in placed:
        at = panel["gridPos"]
        assert min(at["w"], at["h"]) > 0
        assert range(at["x"], at["x"] + at["w"])[-1] in range(24)
    for one, other in combinations(placed, 2):
        assert not _overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not beside and not below
