"""Entry point of the ``fanout`` command."""

from __future__ import annotations

import logging.config
import os
import signal
import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fanout_app import help
from fanout_app.build import build
from fanout_app.core.errors import FanoutError, OptionError, UnansweredError
from fanout_app.discovery import complete
from fanout_app.environment import unknown_variables
from fanout_app.exits import EXIT_FAULT, EXIT_START, EXIT_STOPPED
from fanout_app.logs import describe, logging_config
from fanout_app.memory_options import MEMORY_OPTIONS
from fanout_app.options import TABLE, Options, from_environment

if TYPE_CHECKING:
    from fanout_app.faust_app import Fanout

logger = logging.getLogger("fanout.main")

#: What is no worker, by its first word; imported only then.
_COMMANDS = {
    "completion": "fanout_app.commands.completion:completion",
    "doctor": "fanout_app.commands.doctor:doctor",
    "token": "fanout_app.commands.token:token",
}
_MEMORY = "--memory"
_MEMORY_DEFAULTS = {"id": "memory", "topic": "memory"}
_EPILOG = (
    f"Exit codes: {EXIT_STOPPED} stopped as asked, {EXIT_FAULT} a fault while running, or no answer of Kafka or "
    f"ZooKeeper to a start (start it again), {EXIT_START} cannot start as it is configured (starting it again does not "
    "help). "
    "The last line on stderr says why."
)


def main() -> None:
    """Run what the command line asks for; exit with a code that says how it went."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in _COMMANDS:
        module, name = _COMMANDS[word].split(":")
        getattr(import_module(module), name).main(args=sys.argv[2:], prog_name=f"fanout {word}")
    command: click.Command = help.Command(
        "fanout", params=[*TABLE, *MEMORY_OPTIONS], callback=_run, help=help.TEXT, epilog=_EPILOG,
        # Where there is no Kafka there is nothing to tell apart.
        context_settings={"default_map": _MEMORY_DEFAULTS if _MEMORY in sys.argv else {}},
    )  # fmt: skip
    command = click.version_option(version("fanout-app"), message=f"fanout %(version)s, {build()}")(command)
    try:
        sys.exit(command.main(standalone_mode=False))
    except click.ClickException as error:
        _stop(f"{error.format_message()} (fanout --help lists the options)", EXIT_START)
    except click.Abort:
        sys.exit(EXIT_STOPPED)


def _run(*, memory: bool, memory_partitions: int, **params: Any) -> None:
    try:
        options = Options(**params)
    except OptionError as error:
        _stop(error, EXIT_START)
    if memory:
        _run_in_memory(options, memory_partitions)
        return
    app = _build(options)
    app.Worker(quiet=True, loglevel="WARNING").execute_from_commandline()


def _run_in_memory(options: Options, partitions: int) -> None:
    for given, name in ((options.brokers, "--brokers"), (options.zookeepers, "--zookeepers")):
        if given:
            _stop(f"{name} names servers, and with {_MEMORY} there are none: leave one of the two out", EXIT_START)
    logging.config.dictConfig(logging_config(verbose=options.verbose))
    from fanout_app.memory.worker import run

    _use_uvloop()
    try:
        run(options, partitions)
    except FanoutError as error:
        _stop(error, EXIT_START)


def app_of_environment() -> Fanout:
    """What ``faust -A fanout_app`` runs."""
    try:
        options = from_environment()
    except OptionError as error:
        _stop(error, EXIT_START)
    return _build(options)


def _build(options: Options) -> Fanout:
    # Until Faust's worker takes the signals over nothing is held that would have to be given back.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(EXIT_STOPPED))
    logging.config.dictConfig(logging_config(verbose=options.verbose))
    for name in unknown_variables(os.environ):
        logger.warning("the environment variable %s is no option of fanout and has no effect", name)
    try:
        from fanout_app.application import create

        _use_uvloop()
        return create(complete(options, os.environ))
    except UnansweredError as error:
        _stop(error, EXIT_FAULT)
    except FanoutError as error:
        _stop(error, EXIT_START)
    except Exception as error:
        logger.debug("the start failed", exc_info=True)
        _stop(f"the start failed, which is a fault of fanout itself; please report it: {describe(error)}", EXIT_FAULT)


def _use_uvloop() -> None:
    """uvloop doubles the throughput; where it is not to be had the standard loop does the same."""
    import asyncio

    try:
        import uvloop
    except ImportError:
        return
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def _stop(why: object, code: int) -> NoReturn:
    click.echo(f"fanout: {' '.join(str(why).split())}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
