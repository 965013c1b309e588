"""Prometheus's own tool takes the rules, and the names of the metrics."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from fanout_app.metrics import Metrics
from support.promtool import PROMTOOL
from support.rules import ALERTS, alerts
from unit.web.fake_runtime import FakeRuntime


def test_the_rules_are_rules() -> None:
    subprocess.run([PROMTOOL, "check", "rules", "--lint-fatal", ALERTS], check=True)


@pytest.fixture
async def scraped() -> bytes:
    return Metrics(FakeRuntime()).render()[0]


def test_it_has_no_objection_to_a_scrape(scraped: bytes) -> None:
    said = subprocess.run([PROMTOOL, "check", "metrics"], input=scraped, capture_output=True, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, b"")


def test_each_alert_is_caused_by_a_test() -> None:
    assert caused("test_*.py") == {rule["alert"] for rule in alerts()}


def test_each_alert_is_caused_at_a_real_worker() -> None:
    assert caused("test_at_a_worker.py") | caused("test_with_*.py") == {rule["alert"] for rule in alerts()}


def caused(pattern: str) -> set[str]:
    """The alerts that these tests name."""
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob(pattern))
    return set(re.findall(r'"(Fanout[A-Za-z]+)"', tests))
