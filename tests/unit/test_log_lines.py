"""What a client has written into a reason is a part of a line of the log, and never a line of its own."""

from __future__ import annotations

import inspect
import logging
import re

import faust
import pytest
from faust.tables.recovery import Recovery

from fanout_app.logs import _OF_NO_USE, OneLine, ToldOnce, logging_config


def _line(message: str, *args: object, verbose: bool) -> str:
    record = logging.LogRecord("fanout.dead_lettering", logging.WARNING, __file__, 1, message, args, None)
    return OneLine(verbose=verbose).format(record)


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("no\n2026-01-01 ERROR fanout: it is on fire", r"no\n2026-01-01 ERROR fanout: it is on fire"),
        ("no\r\x1b[2Jgone", r"no\r\x1b[2Jgone"),
        ("no\u2028\x85\x00", r"no\u2028\x85\x00"),
        ("größer als 5 → 日本", "größer als 5 → 日本"),
        (r"C:\new", r"C:\new"),
    ],
)
def test_control_characters_are_shown_and_not_written(reason: str, shown: str, verbose: bool) -> None:
    assert _line("given up on (%s), client %s", reason, "a", verbose=verbose).endswith(
        f" WARNING fanout.dead_lettering: given up on ({shown}), client a"
    )


@pytest.mark.parametrize("verbose", [False, True])
def test_faust_missing_a_figure_of_a_rebalance_is_nothing_to_tell(verbose: bool) -> None:
    """It says so wherever a rebalance overtakes another one. With ``--verbose`` all is told."""
    if verbose:
        assert logging_config(verbose=True)["handlers"]["stderr"]["filters"] == []
        return
    said = inspect.getsource(faust.App.on_rebalance_return) + inspect.getsource(faust.App.on_rebalance_end)
    messages = [message for message in _OF_NO_USE if message in said]
    assert messages == list(_OF_NO_USE)
    for message in messages:
        record = logging.LogRecord("faust.app.base", logging.WARNING, __file__, 1, f"[^--App]: {message}", (2,), None)
        assert not ToldOnce().filter(record)
    other = logging.LogRecord("faust.app.base", logging.WARNING, __file__, 1, "Something else", (), None)
    assert ToldOnce().filter(other)


def test_a_rebalance_in_the_middle_of_a_recovery_is_nothing_to_tell() -> None:
    """Both places in which Faust warns of it, as of workers that are started together."""
    said = re.findall(r"\.log\.warning\(\s*f?\"([^\"]+)", inspect.getsource(Recovery))
    assert sum(message.startswith("Recovery rebalancing again") for message in said) == 2
    for message in said:
        text = f"[^---LedgerRecovery]: {message}"
        record = logging.LogRecord("fanout_app.kafka.recovery", logging.WARNING, __file__, 1, text, (), None)
        assert ToldOnce().filter(record) == ("rebalancing again" not in message)
