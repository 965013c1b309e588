"""The command: ``fanout --id service_x --topic user_need``."""

from __future__ import annotations

import logging.config
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fanout_app.core.errors import FanoutError, OptionError
from fanout_app.options import TABLE, Options, from_environment
from fanout_app.worker import EXIT_START, logging_config

if TYPE_CHECKING:
    from fanout_app.faust_app import Fanout


def main() -> None:
    """Entry point of the ``fanout`` command."""
    click.Command("fanout", params=list(TABLE), callback=_run, help=__doc__)(auto_envvar_prefix=None)


def _run(**params: Any) -> None:
    app = _build(Options(**params))
    app.Worker(quiet=True, loglevel="WARNING").execute_from_commandline()


def app_of_environment() -> Fanout:
    """What ``faust -A fanout_app`` runs."""
    try:
        options = from_environment()
    except OptionError as error:
        _stop(error)
    return _build(options)


def _build(options: Options) -> Fanout:
    from fanout_app.application import create

    logging.config.dictConfig(logging_config(verbose=options.verbose))
    _use_uvloop()
    try:
        return create(options)
    except FanoutError as error:
        _stop(error)


def _use_uvloop() -> None:
    """uvloop doubles the throughput; where it is not to be had the standard loop does the same."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def _stop(error: FanoutError) -> NoReturn:
    click.echo(f"fanout: {error}", err=True)
    sys.exit(EXIT_START)


if __name__ == "__main__":
    main()
