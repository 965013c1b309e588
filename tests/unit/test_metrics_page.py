"""`docs/metrics.md` says what the exporter exports."""

from __future__ import annotations

from fanout_app.metric_names import CATALOGUE
from support.metrics_page import PATH, page, series


def test_the_page_is_as_it_would_be_made_now() -> None:
    assert PATH.read_text() == page(), "run bin/metrics-page"


def test_it_has_a_row_for_each_metric() -> None:
    metrics, labels = page().split("## Labels")
    assert [line.split("`")[1] for line in metrics.splitlines() if line.startswith("| `")] == [
        metric.name for metric in CATALOGUE
    ]
    explained = {line.split("`")[1] for line in labels.splitlines() if line.startswith("| `")}
    assert explained == {label.name for metric in CATALOGUE for label in metric.labels}


def test_how_many_series_there_are_is_counted_with_buckets_and_values() -> None:
    counts = {metric.name: series(metric) for metric in CATALOGUE}
    assert counts["fanout_settled_total"] == 4
    assert counts["fanout_group_ended_total"] == 3
    assert counts["fanout_commit_seconds"] == 14 + 3
