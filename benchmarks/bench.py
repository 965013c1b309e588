"""Measures fanout and its peers side by side, the same workload through each in turn, in rounds.

Prints medians with their spread, the ratios that are asked for and whether they are kept, and what could not be run.
Writes WORKLOAD.json and WORKLOAD.png. Exit codes: 0; 1 where something failed, a ratio that is missed is no failure;
2 for wrong arguments; 128 and the signal's number where it was told to end.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.peers.every import SYSTEMS, UnknownPeer, selected
from benchmarks.peers.system import ROOT
from benchmarks.run.machine import commit, load, machine
from benchmarks.run.plot import draw
from benchmarks.run.progress import Progress
from benchmarks.run.results import Circumstances, Results, results_of, write
from benchmarks.run.rounds import Asked, run
from benchmarks.run.table import text_of
from benchmarks.workloads.all import workloads

RESULTS = ROOT / "benchmarks/results"
REPEATS = 5
ENDINGS = (signal.SIGINT, signal.SIGTERM)


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Ends the process with 2 for what is wrong."""
    about, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="bin/bench", description=about, epilog=more)
    parser.add_argument("workload", nargs="*", metavar="WORKLOAD", help="default: all of them")
    parser.add_argument(
        "--peers", metavar="NAME,...", help="only these beside fanout, by name or first words; '' for none"
    )
    parser.add_argument("--repeats", type=int, default=None, help=f"rounds; default {REPEATS}, with --quick 1")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: whether everything works, not how fast it is"
    )
    parser.add_argument("--only", default="", metavar="CASE", help="only cases whose names begin so")
    parser.add_argument(
        "--results", type=Path, metavar="DIR",
        help="where to write; default benchmarks/results, with --quick, --only or --peers a temporary place",
    )  # fmt: skip
    parser.add_argument("--no-install", action="store_true", help="use the Python packages that there are")
    parser.add_argument("--list", action="store_true", help="show the workloads and the systems, and end")
    given = parser.parse_args(words)
    known = workloads()
    for name in given.workload:
        if name not in known:
            parser.error(f"no workload {name!r}: {', '.join(known)}")
    given.workload = given.workload or list(known)
    given.repeats = (1 if given.quick else REPEATS) if given.repeats is None else given.repeats
    if given.repeats < 1:
        parser.error("--repeats is 1 at least")
    try:
        given.systems = selected(None if given.peers is None else [peer for peer in given.peers.split(",") if peer])
    except UnknownPeer as unknown:
        parser.error(str(unknown))
    return given


def results_folder(given: argparse.Namespace) -> Path:
    """Results of a part never take the place of results of all."""
    if given.results is not None:
        chosen: Path = given.results
        return chosen
    if given.quick or given.only or given.peers is not None:
        return Path(tempfile.mkdtemp(prefix="fanout-bench-"))
    return RESULTS


async def bench(given: argparse.Namespace) -> int:
    """Answers the exit code."""
    # While a broker starts, clients of it complain of what passes; what does not is raised.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = results_folder(given)
    failed = False
    for name in given.workload:
        asked = Asked(workloads()[name], given.systems, given.repeats, given.quick, given.only)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        circumstances = Circumstances(now, commit(), machine(), load())
        progress = Progress(name)
        try:
            course = await run(asked, progress)
        finally:
            progress.done()
        _show(results_of(asked, course, circumstances), folder)
        failed = failed or bool(course.failures)
    return 1 if failed else 0


def _show(results: Results, folder: Path) -> None:
    print(text_of(results))
    print(write(results, folder))
    try:
        if picture := draw(results, folder):
            print(picture)
    except ImportError as missing:
        print(f"no picture: {missing}; bin/bench without --no-install has it", file=sys.stderr)


async def until_told(given: argparse.Namespace) -> int:
    """Ctrl-C and SIGTERM stop the systems that run, and what is done so far is given up."""
    work = asyncio.ensure_future(bench(given))
    told: list[int] = []

    def end(number: int) -> None:
        if not told:
            print("bin/bench: stopping what runs", file=sys.stderr)
            told.append(number)
            work.cancel()

    loop = asyncio.get_running_loop()
    for number in ENDINGS:
        loop.add_signal_handler(number, end, number)
    try:
        with suppress(asyncio.CancelledError):
            return await work
        return 128 + told[0]
    finally:
        for number in ENDINGS:
            loop.remove_signal_handler(number)


def main() -> int:
    given = arguments()
    if given.list:
        for name, workload in workloads().items():
            print(f"{name}: {workload.title}")
        print(f"Systems: {', '.join(SYSTEMS)}")
        return 0
    return asyncio.run(until_told(given))


if __name__ == "__main__":
    sys.exit(main())
