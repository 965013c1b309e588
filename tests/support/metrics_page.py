"""Makes docs/metrics.md of what the exporter exports."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Final

import click

from fanout_app.metric import Kind, Label, Metric
from fanout_app.metric_names import CATALOGUE

PATH: Final = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"

#: The headings, each by the metric that it begins with.
_HEADINGS: Final = {
    "fanout_lag": "Messages",
    "fanout_topic_partitions": "Partitions",
    "fanout_group_weight": "Groups",
    "fanout_clients": "Clients",
    "fanout_commit_seconds": "Ledgers",
    "fanout_info": "Cluster",
    "fanout_tasks": "Process",
}

_INTRODUCTION: Final = """# Metrics

`GET /metrics` at each worker is for Prometheus, in its text format. A worker tells of itself: of the partitions that it
owns and of the clients that ask it, so a sum over all workers is the whole. Counts begin anew with each process.

Scrape all workers of one id and topic as one job, whose name begins with `fanout`: every rule of
[alerts.yml](../deploy/prometheus/alerts.yml) and panel of [fanout.json](../deploy/grafana/fanout.json) goes by it.
With `--admin-port` it is that port; with `--tokens-file` a token of role `metrics` is asked for:
```yaml
scrape_configs:
  - job_name: fanout-orders
    scrape_interval: 15s
    authorization:
      credentials_file: /etc/prometheus/fanout-token
    static_configs:
      - targets: ["10.0.0.1:6066", "10.0.0.2:6066"]
```

No label is a name that any client may choose, so the number of series is bounded: about {fixed} a worker, {partition}
for each partition that it owns, and {group} for each group that has a weight or, with `--delivery broadcast`, a ledger
of its own (100 at most). What each alert means is in [alerts.md](alerts.md).

This page is made by `bin/metrics-page` of `fanout_app/metric_names.py`.
"""


def page() -> str:
    """All of it."""
    parts = [_INTRODUCTION.format_map(_counts())]
    heading = ""
    for metric in CATALOGUE:
        if metric.name in _HEADINGS:
            heading = _HEADINGS[metric.name]
            parts.append(f"\n## {heading}\n| metric | kind, unit | labels | | when it is high |\n|--|--|--|--|--|\n")
        parts.append(_row(metric))
    parts.append("\n## Labels\n| label | of | values |\n|--|--|--|\n")
    parts += map(_label_row, dict.fromkeys(label for metric in CATALOGUE for label in metric.labels))
    return "".join(parts)


def series(metric: Metric) -> int:
    """How many series it has for each value of those labels whose values are not known beforehand."""
    count = len(metric.bounds) + 3 if metric.kind is Kind.HISTOGRAM else 1
    for label in metric.labels:
        count *= len(label.values) or 1
    return count


def _of(metric: Metric) -> str:
    names = {label.name for label in metric.labels if not label.values}
    return "partition" if "partition" in names else "group" if "group" in names else "fixed"


def _counts() -> dict[str, int]:
    ordered = sorted(CATALOGUE, key=_of)
    return {of: sum(map(series, metrics)) for of, metrics in groupby(ordered, key=_of)}


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.label_names)
    return f"| `{metric.name}` | {metric.kind}, {metric.unit} | {labels} | {metric.help} | {metric.high} |\n"


def _label_row(label: Label) -> str:
    of = [metric.name for metric in CATALOGUE if label in metric.labels]
    values = ", ".join(f"`{value}`" for value in label.values)
    return (
        f"| `{label.name}` | {', '.join(f'`{name}`' for name in of)} | {values}{'. ' * bool(values)}{label.meaning} |\n"
    )


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Say whether the page is as it would be made now.")
def main(check: bool) -> None:
    if not check:
        PATH.write_text(page())
    elif PATH.read_text() != page():
        sys.exit("docs/metrics.md is not as bin/metrics-page makes it")


if __name__ == "__main__":
    main()
