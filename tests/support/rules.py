"""What rules and dashboards ask Prometheus for, read with a parser of its language."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import promql_parser as promql
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
ALERTS: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "fanout.json"


class Selected(NamedTuple):
    """Series that an expression selects."""

    name: str
    #: The labels that it selects by, each with its operator and value.
    matchers: tuple[tuple[str, str, str], ...]


class Asked(NamedTuple):
    """What an expression asks for."""

    selected: tuple[Selected, ...]
    #: The labels that it groups or joins by.
    labels: frozenset[str]


def asked(expression: str) -> Asked:
    """Raises ValueError where it is none."""
    selected: list[Selected] = []
    labels: set[str] = set()

    def visit(one: Any) -> None:
        if isinstance(one, promql.MatrixSelector):
            one = one.vector_selector
        if isinstance(one, promql.VectorSelector):
            matchers = [(match.name, str(match.op).split(".")[-1], match.value) for match in one.matchers.matchers]
            selected.append(Selected(one.name or "", tuple(matchers)))
        elif isinstance(one, promql.AggregateExpr) and one.modifier is not None:
            labels.update(one.modifier.labels)
        elif isinstance(one, promql.BinaryExpr) and one.modifier is not None and one.modifier.matching is not None:
            labels.update(one.modifier.matching.labels)

    promql.walk(promql.parse(expression), visit)
    return Asked(tuple(selected), frozenset(labels))


def rules() -> list[dict[str, Any]]:
    """Every rule of the file, those that record and those that alert."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def dashboard() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return made


def panels() -> list[dict[str, Any]]:
    """Those that show something, and not the rows that they are in."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def shown(expression: str) -> str:
    """An expression of the dashboard as Prometheus gets it."""
    for variable, value in (("$__rate_interval", "1m"), ("$job", "fanout-orders")):
        expression = expression.replace(variable, value)
    return expression


def anchors(page: str) -> set[str]:
    """What a link into a page of Markdown may name."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
