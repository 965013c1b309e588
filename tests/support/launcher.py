"""Starts a worker with faults built in: ``python launcher.py FAULT... -- OPTIONS``, the options being fanout's own.

The faults are in `support.faults`, what looks into a worker in `support.instruments`; what faults did is written to
the file that TESTS_FAULTS_REPORT names.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from fanout_app.__main__ import main  # noqa: E402
from support import faults, instruments  # noqa: E402 - not to be found before


def launch(arguments: list[str]) -> None:
    at = arguments.index("--")
    report = faults.Report(Path(os.environ["TESTS_FAULTS_REPORT"]))
    for fault in arguments[:at]:
        name, _, argument = fault.partition("=")
        {**faults.FAULTS, **instruments.INSTRUMENTS}[name](report, argument)
    sys.argv = ["fanout", *arguments[at + 1 :]]
    main()


if __name__ == "__main__":
    launch(sys.argv[1:])
