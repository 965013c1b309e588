"""The workloads that bin/bench knows, in the order in which it runs them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from benchmarks.workloads.workload import Workload

#: Modules of this package; each has its workload as `WORKLOAD`.
MODULES = ("drain", "paced", "slow", "dead", "idle", "growth", "takeover", "scale", "forward")


def workloads() -> Mapping[str, Workload]:
    """By name."""
    found: list[Workload] = [import_module(f"benchmarks.workloads.{module}").WORKLOAD for module in MODULES]
    return {one.name: one for one in found}
