"""What a worker logs and how: one line an event on stderr, and the fault that ends it told once."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

#: Control characters, and what else some terminals and readers of logs take for the end of a line.
_NOT_PRINTED: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def describe(error: BaseException) -> str:
    """An error as one line, with its kind where its text alone would not say what happened."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    # aiokafka's errors begin with their kind by themselves.
    return text if type(error).__module__.startswith("fanout_app") or kind in text else f"{kind}: {text}"


def is_ours(record: logging.LogRecord) -> bool:
    return record.name == "fanout" or record.name.startswith("fanout.")


class OneLine(logging.Formatter):
    """What Faust and its libraries log with a traceback is one line; with ``--verbose`` the traceback is there too."""

    def __init__(self, *, verbose: bool) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._verbose = verbose

    def formatMessage(self, record: logging.LogRecord) -> str:
        # A reason that a client gives may hold anything, and must not look like a line of ours.
        if is_ours(record):
            record.message = _NOT_PRINTED.sub(lambda found: ascii(found[0])[1:-1], record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        if self._verbose or record.exc_info is None or is_ours(record):
            return super().format(record)
        error = record.exc_info[1]
        short = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        line = super().format(short)
        return " ".join((line if error is None else f"{line} ({describe(error)})").split())


#: How mode tells of a fault that ends the worker, each time another part of it hears of it.
_TOLD_BY_THE_LAST_LINE = (
    "Crashed reason=%r",
    "Error: %r",
    "Drain messages raised: %r",
    "We experienced a crash! Reraising original exception...",
)


#: Faust keeps figures of each rebalance, which nobody here looks at, and misses those of one that the next overtakes.
_OF_NO_USE = ("Missing sensor state for rebalance #%s", "Missing sensor state for rebalance end #%s")
#: And it warns where a rebalance comes before the one before has been recovered from, as when workers start together.
_EVERYDAY = "]: Recovery rebalancing again"


class ToldOnce(logging.Filter):
    """The last line of a worker tells of the fault that ended it; what libraries say of it is left out, and of nothing.

    With ``--verbose`` all of it is logged.
    """

    #: A fault has ended the worker: what its parts say while they are stopped comes of that.
    ending = False

    def filter(self, record: logging.LogRecord) -> bool:
        said = str(record.msg)
        left_out = _EVERYDAY in said or said.endswith(_TOLD_BY_THE_LAST_LINE + _OF_NO_USE)
        return is_ours(record) or not (self.ending or left_out)


told_once = ToldOnce()


def logging_config(*, verbose: bool) -> dict[str, Any]:
    """Lines on stderr; ours from INFO, or DEBUG with ``--verbose``; the libraries' only from WARNING on."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": OneLine, "verbose": verbose}},
        "filters": {"once": {"()": lambda: told_once}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "stream": "ext://sys.stderr",
                "filters": [] if verbose else ["once"],
            }
        },
        "loggers": {
            "fanout": {"level": "DEBUG" if verbose else "INFO"},
            # They say at WARNING and ERROR what is the everyday life of a consumer group, or of a lost connection that
            # we tell of ourselves.
            "aiokafka": {"level": "INFO" if verbose else "CRITICAL"},
            "kazoo": {"level": "WARNING" if verbose else "CRITICAL"},
            # It tells of every timer that a busy machine or a silent broker holds up.
            "mode.timers": {"level": "WARNING" if verbose else "CRITICAL"},
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }
