"""Rules for Prometheus ask for what workers export, and each of them is explained."""

from __future__ import annotations

from typing import Any

import pytest

from fanout_app.metric import Kind
from fanout_app.metric_names import CATALOGUE
from support.rules import ALERTS, ROOT, Asked, Selected, alerts, anchors, asked, rules

#: What Prometheus itself knows of whatever it scrapes.
TARGET = {"job", "instance"}
METRICS = {metric.name: metric for metric in CATALOGUE}
RECORDED = {rule["record"]: set(asked(rule["expr"]).labels) for rule in rules() if "record" in rule}
EACH_RULE = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
EACH_ALERT = pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])


def labels_of(selected: Selected) -> dict[str, tuple[str, ...]]:
    """By the labels of these series, all values that each can have; none where they are of the data. Raises KeyError:
    nobody exports or records it."""
    if selected.name == "up":
        return dict.fromkeys(TARGET, ())
    if selected.name == "ALERTS":
        return {**dict.fromkeys(TARGET, ()), "alertname": (), "alertstate": ("pending", "firing")}
    if selected.name in RECORDED:
        return dict.fromkeys(RECORDED[selected.name], ())
    name = selected.name
    for suffix in ("_bucket", "_count", "_sum"):
        base = name.removesuffix(suffix)
        if base != name and base in METRICS and METRICS[base].kind is Kind.HISTOGRAM:
            le = {"le": ()} if suffix == "_bucket" else {}
            return {**dict.fromkeys(TARGET, ()), **{one.name: () for one in METRICS[base].labels}, **le}
    metric = METRICS[name]
    assert metric.kind is not Kind.HISTOGRAM, "of a histogram there are buckets, a sum and a count"
    return {**dict.fromkeys(TARGET, ()), **{one.name: tuple(one.values) for one in metric.labels}}


def check(wanted: Asked) -> None:
    """Everything that an expression asks for is there. Raises KeyError or AssertionError."""
    of_all = [labels_of(selected) for selected in wanted.selected]
    for selected, labels in zip(wanted.selected, of_all, strict=True):
        for name, operator, value in selected.matchers:
            assert name in labels, f"{selected.name} has no label {name}"
            if operator in ("Equal", "Re") and labels[name]:
                assert set(value.split("|")) <= set(labels[name]), f"{name} of {selected.name} is never {value}"
    for name in wanted.labels:
        assert all(name in labels for labels in of_all), f"not all of it has the label {name}"


@EACH_RULE
def test_what_a_rule_asks_for_is_exported(rule: dict[str, Any]) -> None:
    wanted = asked(rule["expr"])
    assert wanted.selected
    check(wanted)


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("fanout_lagg > 0", KeyError),
        ("sum by (client) (fanout_lag)", AssertionError),
        ('rate(fanout_settled_total{how="done"}[1m])', AssertionError),
        ('fanout_settled_total{how=~"acked|done"}', AssertionError),
        ("fanout_commit_seconds > 1", AssertionError),
        ("sum by (le) (fanout_commit_seconds_count)", AssertionError),
        ("fanout_lag / on (worker) fanout_info", AssertionError),
        ('fanout_lag{partition="0"}', AssertionError),
        ("sum by (job (fanout_lag)", ValueError),
    ],
)
def test_what_is_not_exported_is_found_out(expression: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(asked(expression))


@EACH_ALERT
def test_an_alert_says_what_it_is_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
    assert "{{ $labels.job }}" in summary
    assert description != summary
    path, anchor = rule["annotations"]["runbook"].split("#")
    assert anchor == rule["alert"].lower()
    assert anchor in anchors((ROOT / path).read_text())


@EACH_ALERT
def test_an_alert_names_the_labels_that_are_left_to_it(rule: dict[str, Any]) -> None:
    """A label that was added up away is an empty word in what is sent to somebody."""
    wanted = asked(rule["expr"])
    left = set(wanted.labels) if wanted.labels else {name for one in wanted.selected for name in labels_of(one)}
    named = {
        word.split("}}")[0].strip() for text in rule["annotations"].values() for word in text.split("$labels.")[1:]
    }
    assert named <= left


def test_every_explanation_is_of_an_alert() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    explained = {line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")}
    assert explained == {rule["alert"] for rule in alerts()}


def test_no_alert_is_there_twice() -> None:
    assert len({rule["alert"] for rule in alerts()}) == len(alerts()), ALERTS
