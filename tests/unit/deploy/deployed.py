"""What the files of a deployment are compared with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from fanout_app.environment import unknown_variables
from fanout_app.options import TABLE, Options, from_environment
from fanout_app.worker import STOP_FOR

ROOT = Path(__file__).resolve().parents[3]
#: What a worker takes at most beside bodies, by `docs/operations.md`, Sizing: after twenty minutes of load, and for
#: each partition one fetch, the messages held, and its rows.
_WORKER = 78 << 20
_FETCH = 1 << 20
_HELD = 330
_ROWS = 8
#: Those that one worker may have to take alone.
_PARTITIONS = 24
_UNITS = {"Mi": 20, "M": 20, "Gi": 30, "G": 30}


def options_of(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Options:
    """As a worker with these variables, and no other ones, reads them; each of them has to be an option."""
    for option in TABLE:
        monkeypatch.delenv(str(option.envvar), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert unknown_variables(variables) == []
    return from_environment()


def least_grace(options: Options) -> float:
    """Seconds from SIGTERM to SIGKILL that a stop may need, with some to spare for the process to be gone."""
    return options.drain + STOP_FOR + 2.0


def most_memory(options: Options) -> float:
    """Bytes that a worker with these options takes at most."""
    of_partition = _FETCH + _HELD * options.max_ack_pending + _ROWS * options.max_row_bytes
    return _WORKER + options.buffer_bytes + _PARTITIONS * of_partition


def bytes_of(size: str) -> int:
    """Of ``512Mi`` as Kubernetes writes it, or ``512M`` as systemd does; both count by 1024."""
    ((number, unit),) = re.findall(r"(\d+)([A-Z]i?)", size)
    return int(number) << _UNITS[unit]


def port_of(address: str | None) -> int:
    return int(str(address).rpartition(":")[2])
