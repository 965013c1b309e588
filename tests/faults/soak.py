"""What bin/soak runs: long histories under faults of every kind, judged."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

import aiohttp
import click

from support.histories import picture
from support.histories.attempt import attempt
from support.histories.events import read
from support.histories.nemesis import STRIKES
from support.histories.plan import Plan
from support.histories.progress import Progress
from support.histories.soak_plan import soak_plan_of
from support.histories.soak_summary import summary
from support.network.network import Network
from support.stack import ROOT, Stack, running_stack

KEPT = ROOT / ".local" / "histories"
SEEDS = 1_000_000
#: Leases of 9 s may have been handed over, and what came while nobody could be reached is a backlog.
DRAINED_WITHIN = 60.0
TOLD_EVERY = 10.0
#: Of the broker whose disk can be filled.
_SMALL_DISK = "kafka-1"
#: What a shell says of what was interrupted.
_INTERRUPTED = 130


@click.command(help=__doc__)
@click.option("--minutes", default=3.0, show_default=True, help="About how long each history is written and struck.")
@click.option("--seed", default=None, type=int, help="Seed of the first history; the next has the next. Default: any.")
@click.option("--seeds", default=1, show_default=True, help="How many histories, one after another.")
@click.option("--workers", default=3, show_default=True, type=click.IntRange(2), help="At the beginning.")
@click.option("--brokers", default=3, show_default=True, type=click.IntRange(1))
@click.option("--zookeepers", default=3, show_default=True, type=click.IntRange(0))
@click.option("--canary", is_flag=True, help="Clients of groups that have shares, which are changed; leaders that die.")
@click.option("--delivery", default="balance", show_default=True, type=click.Choice(["balance", "broadcast"]))
@click.option("--order", default="none", show_default=True, type=click.Choice(["none", "key"]))
@click.option("--keep", is_flag=True, help="Keep the histories and logs of those that pass, too.")
def main(
    minutes: float,
    seed: int | None,
    seeds: int,
    workers: int,
    brokers: int,
    zookeepers: int,
    canary: bool,
    delivery: Literal["balance", "broadcast"],
    order: Literal["none", "key"],
    keep: bool,
) -> None:
    if canary and delivery == "broadcast":
        raise click.UsageError("where every group is handed everything there are no shares: --canary or broadcast")
    # Clients of a broker that is killed say so many times a second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    first = secrets.randbelow(SEEDS) if seed is None else seed
    folder = KEPT / f"soak-{time.strftime('%Y%m%d-%H%M%S')}-{first}"
    results: dict[int, str] = {}
    code = 0
    try:
        for each in range(first, first + seeds):
            plan = soak_plan_of(
                each,
                minutes=minutes,
                workers=workers,
                brokers=brokers,
                zookeepers=zookeepers,
                kinds=STRIKES.keys(),
                canary=canary,
                delivery=delivery,
                order=order,
            )
            results[each] = _soak(plan, minutes, folder / f"seed-{each}", keep=keep)
    except KeyboardInterrupt:
        click.echo("interrupted: servers and workers are down")
        code = _INTERRUPTED
    if seeds > 1:
        for each, result in results.items():
            click.echo(f"seed {each}: {result}")
    sys.exit(code or any(result != "passed" for result in results.values()))


def _soak(plan: Plan, minutes: float, where: Path, *, keep: bool) -> str:
    """One history on servers of its own; "passed", or what does not hold."""
    where.mkdir(parents=True)
    click.echo(f"seed {plan.seed}: {len(plan.strikes)} strikes in about {minutes:g} minutes; all files in {where}")
    try:
        with (
            Network() as network,
            running_stack(
                kafka=plan.brokers, zookeeper=plan.zookeepers, network=network, small_disk=_SMALL_DISK
            ) as stack,
        ):
            path = asyncio.run(_run(plan, stack, network, where))
    except Exception as error:
        # Whatever went wrong, the others are to be run; the plan is in the history's first line.
        click.echo(f"seed {plan.seed} did not come to its end: {error!r}; see {where}")
        return f"did not come to its end ({error!r})"
    events = read(path)
    made, judged = summary(path, events, minutes)
    (where / "summary.json").write_bytes(made.json())
    picture.draw(events, where / "timeline.png")
    click.echo(judged.text())
    click.echo(made.text())
    if made.failures or keep:
        click.echo(f"kept: {where}")
    else:
        for file in where.iterdir():
            if file.name not in ("summary.json", "timeline.png"):
                shutil.rmtree(file) if file.is_dir() else file.unlink()
    return "; ".join(made.failures) or "passed"


async def _run(plan: Plan, stack: Stack, network: Network, where: Path) -> Path:
    progress = Progress()
    async with aiohttp.ClientSession() as session, _told(progress):
        return await attempt(
            plan, stack, session, where, drained_within=DRAINED_WITHIN, network=network, watch=progress.see
        )


@asynccontextmanager
async def _told(progress: Progress) -> AsyncIterator[None]:
    """Meanwhile, one line every few seconds."""

    async def tell() -> None:
        while True:
            await asyncio.sleep(TOLD_EVERY)
            click.echo(progress.line())

    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        telling.cancel()
        with suppress(asyncio.CancelledError):
            await telling


if __name__ == "__main__":
    main()
