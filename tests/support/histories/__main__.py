"""Judges histories again: ``PYTHONPATH=tests python -m support.histories FILE...``; exits with 1 if one has faults."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from support.histories.verdict import judged


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    verdicts = [judged(file) for file in files]
    for verdict in verdicts:
        click.echo(verdict.text())
    sys.exit(any(verdict.faults for verdict in verdicts))


if __name__ == "__main__":
    main()
