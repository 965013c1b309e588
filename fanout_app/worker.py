"""The process: Faust's worker without its spinner, ending with one line that says why if it was not asked to end."""

from __future__ import annotations

import logging
import sys
from typing import Any, NoReturn

import faust

logger = logging.getLogger("fanout.worker")

#: Exit codes: 0 stopped as asked, 1 a fault while running, 2 cannot start as it is configured.
EXIT_FAULT = 1
EXIT_START = 2


class FanoutWorker(faust.Worker):
    """Runs the app until a signal or a fault ends it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # It sets the level of our log handler and writes control characters, also where nobody looks.
        self.spinner = None

    def execute_from_commandline(self) -> NoReturn:
        try:
            super().execute_from_commandline()
        finally:
            if self.crash_reason is not None:
                logger.critical("the worker ends: %s", describe(self.crash_reason))
        sys.exit(EXIT_FAULT)  # for the types: the line above the finally does not return


def describe(error: BaseException) -> str:
    """An error as one line, with its kind where its text alone would not say what happened."""
    text = " ".join(str(error).split())
    return text if type(error).__module__.startswith("fanout_app") else f"{type(error).__name__}: {text}"


class OneLine(logging.Formatter):
    """What Faust and its libraries log with a traceback is one line; with ``--verbose`` the traceback is there too."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._verbose = verbose

    def format(self, record: logging.LogRecord) -> str:
        if self._verbose or record.exc_info is None or record.name.startswith("fanout"):
            return super().format(record)
        error = record.exc_info[1]
        short = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        line = super().format(short)
        return " ".join((line if error is None else f"{line} ({describe(error)})").split())


def logging_config(*, verbose: bool) -> dict[str, Any]:
    """Lines on stderr; ours from INFO, or DEBUG with ``--verbose``; the libraries' only from WARNING on."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": OneLine, "verbose": verbose}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stderr"}},
        "loggers": {
            "fanout": {"level": "DEBUG" if verbose else "INFO"},
            # It says at WARNING and ERROR what is the everyday life of a consumer group.
            "aiokafka": {"level": "INFO" if verbose else "CRITICAL"},
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }
