"""``fanout doctor``: looks at all that a worker needs, and says what to do about what it does not have."""

from __future__ import annotations

import asyncio
import logging.config
import os
import sys
from typing import Any, Final

import click

from fanout_app.commands.examination import examine
from fanout_app.commands.finding import Level
from fanout_app.core.errors import OptionError
from fanout_app.discovery import complete
from fanout_app.logs import logging_config
from fanout_app.options import TABLE, Options

_WIDTH: Final = max(len(level.value) for level in Level)


def _doctor(**params: Any) -> None:
    """Look at brokers, topics, rights, ZooKeeper, files and workers that run, and say what to do about what is wrong.

    It takes the options of a worker, and changes nothing. Exit code 1: something is wrong.
    """
    try:
        options = Options(**params)
        logging.config.dictConfig(logging_config(verbose=options.verbose))
        options = complete(options, os.environ)
    except OptionError as error:
        raise click.UsageError(str(error)) from None
    found = asyncio.run(_printed(options))
    sys.exit(1 if Level.WRONG in found else 0)


async def _printed(options: Options) -> set[Level]:
    found: set[Level] = set()
    async for level, text in examine(options):
        found.add(level)
        click.echo(f"{level.value:{_WIDTH}}  {text}")
    return found


doctor = click.Command("doctor", params=list(TABLE), callback=_doctor, help=_doctor.__doc__)
