"""What bin/integration runs: nothing new, but often enough to meet what happens seldom."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import click

from support.histories.attempt import attempt
from support.histories.clusters import cluster_plan_of, large_plan
from support.histories.plan import Plan, plan_of
from support.histories.runner import DRAINED_WITHIN
from support.histories.verdict import Verdict, judged
from support.stack import ROOT, Stack, running_stack

FORERUNNER = ("tests/acceptance/test_forerunner.py",)
#: One run of it takes 15 s, most of which is the start of servers.
FORERUNNER_WITHIN = 180.0
#: Two versions in one cluster for a minute, a rolling restart of four workers with a thousand leases, long outages.
#: And what takes longest of the tests with real servers, examples of services among it. An image is built in it, with a
#: compiler.
LONG = ("tests/long",)
LONGEST = ("-m", "long", "tests/histories", "tests/acceptance", "tests/integration")
LONG_WITHIN = 2400.0
#: The rules for Prometheus, tried out with its own tool, which is fetched for it.
ALERTS = ("tests/alerts",)
#: Requests of all kinds, other ones each time: so many at two workers, and so many runs of some twenty in process.
#: And so many random courses of things for each property.
RANDOM = {
    "tests/acceptance/test_fuzz.py": {"FUZZ_REQUESTS": "3000"},
    "tests/unit/web/test_fuzz.py": {"FUZZ_EXAMPLES": "500"},
    "tests/properties": {"FANOUT_HYPOTHESIS_EXAMPLES": "2000"},
}
KEPT = ROOT / ".local" / "histories"
SEEDS = 1_000_000
#: Seconds: leases of 9 s may have been handed over, and of a large history a backlog of thousands may be left.
_CLUSTER_DRAIN = 30.0
_LARGE_DRAIN = 60.0


@dataclass(slots=True)
class Summary:
    """What came of it all."""

    repeats: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    #: One line each, naming the file that shows it.
    failures: list[str] = field(default_factory=list)

    def text(self) -> str:
        counts: Counter[str] = Counter()
        causes: Counter[str] = Counter()
        for verdict in self.verdicts:
            counts += verdict.counts
            causes += verdict.duplicates
        lines = [
            f"forerunner's cases: passed {self.repeats} times",
            f"histories: {len(self.verdicts)}; {', '.join(f'{count} {what}' for what, count in counts.items())}",
            f"duplicates: {', '.join(f'{cause} {count}' for cause, count in causes.most_common()) or 'none'}",
            f"seeds: {', '.join(str(verdict.seed) for verdict in self.verdicts) or 'none'}",
            *(f"FAILED: {failure}" for failure in self.failures),
            f"{len(self.failures)} failures",
        ]
        return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--repeat", default=30, show_default=True, help="How often the forerunner's cases are run.")
@click.option("--histories", default=20, show_default=True, help="How many random histories are run.")
@click.option(
    "--long/--no-long", default=True, show_default=True, help="Whether the long tests and the fuzzer are run, once."
)
@click.option("--workers", default=1, show_default=True, help="How many workers a history begins with.")
@click.option("--brokers", default=1, show_default=True, help="How many brokers several workers have.")
@click.option("--zookeepers", default=0, show_default=True, help="How many ZooKeepers several workers have.")
@click.option("--large", is_flag=True, help="One history of 60,000 messages on three of each, and nothing else.")
@click.option("--seed", default=None, type=int, help="Seed of the first history; the next has the next. Default: any.")
def main(
    repeat: int, histories: int, long: bool, workers: int, brokers: int, zookeepers: int, large: bool, seed: int | None
) -> None:
    # Clients of a broker that is killed say so many times a second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    first = secrets.randbelow(SEEDS) if seed is None else seed
    folder = KEPT / f"{time.strftime('%Y%m%d-%H%M%S')}-{first}"
    folder.mkdir(parents=True)
    click.echo(f"histories from seed {first}; all files in {folder}")
    summary = Summary()
    # What is asked of several workers is their histories; the other tests have workers of their own.
    if workers == 1 and not large:
        for number in range(1, repeat + 1):
            if _tests_pass(f"forerunner {number}/{repeat}", FORERUNNER, FORERUNNER_WITHIN, folder, summary):
                summary.repeats += 1
        if long:
            _tests_pass("long tests", LONG, LONG_WITHIN, folder, summary)
            _tests_pass("alerts", ALERTS, LONG_WITHIN, folder, summary)
            _tests_pass("longest of the others", LONGEST, LONG_WITHIN, folder, summary)
            for number, (path, many) in enumerate(RANDOM.items(), 1):
                _tests_pass(f"random {number}", (path,), LONG_WITHIN, folder, summary, **many)
    plans = [large_plan(first)] if large else _plans(range(first, first + histories), workers, brokers, zookeepers)
    if plans:
        with running_stack(kafka=plans[0].brokers, zookeeper=plans[0].zookeepers) as stack:
            within = _LARGE_DRAIN if large else DRAINED_WITHIN if workers == 1 else _CLUSTER_DRAIN
            asyncio.run(_histories(stack, plans, folder, summary, within))
    click.echo(summary.text())
    sys.exit(bool(summary.failures))


def _plans(seeds: range, workers: int, brokers: int, zookeepers: int) -> list[Plan]:
    if workers == 1:
        return [plan_of(seed) for seed in seeds]
    return [cluster_plan_of(seed, workers=workers, brokers=brokers, zookeepers=zookeepers) for seed in seeds]


def _tests_pass(
    name: str, chosen: Sequence[str], within: float, folder: Path, summary: Summary, **variables: str
) -> bool:
    """In a process of its own, as anybody would run them: fresh servers, fresh workers."""
    began = time.monotonic()
    log = folder / f"{re.sub('[^a-z0-9]+', '-', name)}.log"
    with log.open("wb") as file:
        try:
            code = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", *chosen],
                cwd=ROOT,
                env={**os.environ, **variables},
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=within,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    said = "passed" if code == 0 else f"FAILED with {code}, see {log}"
    click.echo(f"{name} {said}, {time.monotonic() - began:.1f} s")
    if code:
        summary.failures.append(f"{name}: {log}")
    else:
        log.unlink()
    return code == 0


async def _histories(
    stack: Stack, plans: Sequence[Plan], folder: Path, summary: Summary, drained_within: float
) -> None:
    async with aiohttp.ClientSession() as session:
        for number, plan in enumerate(plans, 1):
            seed = plan.seed
            where = folder / f"seed-{seed}"
            where.mkdir()
            try:
                path = await attempt(plan, stack, session, where, drained_within=drained_within)
                verdict = judged(path)
            except Exception as error:
                # Whatever went wrong, the others are to be run; the plan is in the history's first line.
                summary.failures.append(f"seed {seed} did not come to its end ({error!r}): {where}")
                click.echo(f"history {number}/{len(plans)} seed {seed} did not come to its end: {error!r}")
                continue
            summary.verdicts.append(verdict)
            click.echo(f"history {number}/{len(plans)} {'FAILED' if verdict.faults else 'passed'} {verdict.text()}")
            if verdict.faults:
                rules = ", ".join(sorted({fault.rule for fault in verdict.faults}))
                summary.failures.append(f"seed {seed} ({rules}): {path}")
            else:
                shutil.rmtree(where)


if __name__ == "__main__":
    main()
