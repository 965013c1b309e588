"""Tries the alerts out on what workers said when they were scraped, with Prometheus's own engine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from support.rules import ALERTS, ROOT
from support.scraped import named

PROMTOOL: Final = ROOT / "bin" / "promtool"
JOB: Final = "fanout-orders"
#: Of a series that a scrape has no more, once, and after that.
_ENDED = "stale"
_GONE = "_"


class Timeline:
    """Scrapes of a minute's distance, of all workers of one job."""

    def __init__(self) -> None:
        self._minutes = 0
        self._series: dict[str, list[str]] = {}

    def goes_on(self, minutes: int, **workers: bytes | None) -> None:
        """For so long each of these workers said this; None: it did not answer. Others are not there at all."""
        for name, text in workers.items():
            for series, value in _scraped(name, text).items():
                values = self._series.setdefault(series, [_GONE] * self._minutes)
                values += [value] * minutes
        self._minutes += minutes
        for values in self._series.values():
            missing = self._minutes - len(values)
            if missing and values[-1] not in (_ENDED, _GONE):
                values.append(_ENDED)
                missing -= 1
            values += [_GONE] * missing

    def fires(self, folder: Path, *alerts: str) -> None:
        """Asserts that at its end these alerts fire, and no others."""
        samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
        test = {
            "rule_files": [str(ALERTS)],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": series, "values": " ".join(values)} for series, values in self._series.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                            "eval_time": f"{self._minutes - 1}m",
                            "exp_samples": samples,
                        }
                    ],
                }
            ],
        }
        path = folder / "test.yml"
        path.write_text(json.dumps(test))  # which is YAML too
        said = subprocess.run([PROMTOOL, "test", "rules", path], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


def _scraped(worker: str, text: bytes | None) -> Mapping[str, str]:
    """Every series with its value, as Prometheus keeps it."""
    target = {"job": JOB, "instance": worker}
    if text is None:
        return {f"up{named(target)}": "0"}
    samples = {
        sample.name + named({**sample.labels, **target}): repr(float(sample.value))
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    return {f"up{named(target)}": "1", **samples}
