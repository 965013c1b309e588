"""The kinds of values that options take: numbers with their unit, and text of a given form.

Every refusal says what was written and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_HIGHEST_PORT = 65535


def option(name: str, help: str, **attributes: Any) -> click.Option:
    """An option, and the variable that says the same."""
    variable = "FANOUT_" + name.upper().replace("-", "_")
    return click.Option([f"--{name}"], envvar=variable, show_envvar=True, help=help, **attributes)


class WithUnit(click.ParamType):
    """A number with one of the units given, between two limits (in the base unit)."""

    def __init__(self, name: str, units: Mapping[str, float], low: float, high: float, example: str) -> None:
        self.name = name
        self._units = units
        self._low = low
        self._high = high
        self._example = example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", value.strip())
        if match is None or (match[2] not in self._units and match[2] != ""):
            self.fail(f"{value!r} is not a {self.name}; write it like {self._example}", param, ctx)
        if match[2] == "":
            self.fail(f"{value!r} has no unit; write it like {self._example} ({', '.join(self._units)})", param, ctx)
        number = float(match[1]) * self._units[match[2]]
        if not self._low <= number <= self._high:
            self.fail(f"{value!r} is out of range: {self._low:g} to {self._high:g} {self._base}", param, ctx)
        return number

    @property
    def _base(self) -> str:
        return next(unit for unit, factor in self._units.items() if factor == 1)


def time(low: float, high: float, example: str) -> WithUnit:
    """Seconds between two limits."""
    return WithUnit("time", _SECONDS, low, high, example)


def size(low: float, high: float, example: str) -> WithUnit:
    """Bytes between two limits."""
    return WithUnit("size", _BYTES, low, high, example)


class Matching(click.ParamType):
    """Text of a given form."""

    def __init__(self, name: str, pattern: str, form: str) -> None:
        self.name = name
        self._pattern = re.compile(pattern)
        self._form = form

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not self._pattern.fullmatch(value):
            self.fail(f"{value!r} must be {self._form}", param, ctx)
        return str(value)


_HOST = r"(?:\[[0-9a-fA-F:.%]+\]|[^\s,:/\[\]]+)"


class Addresses(click.ParamType):
    """``HOST:PORT``, one or several of them; an IPv6 address in brackets."""

    def __init__(self, name: str, form: str, *, several: bool, lowest_port: int = 1, path: bool = False) -> None:
        self.name = name
        self._form = form
        self._lowest_port = lowest_port
        one = rf"{_HOST}:\d{{1,5}}"
        many = rf"(?:,{one})*" if several else ""
        self._pattern = re.compile(one + many + (r"(?:/[^\s,]*)?" if path else ""))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if not self._pattern.fullmatch(text):
            self.fail(f"{text!r} must be {self._form}", param, ctx)
        for address in text.partition("/")[0].split(","):
            port = int(address.rpartition(":")[2])
            if not self._lowest_port <= port <= _HIGHEST_PORT:
                self.fail(f"{address!r} has no port between {self._lowest_port} and {_HIGHEST_PORT}", param, ctx)
        return text


class OrElse(click.ParamType):
    """What another type takes, nothing at all, or one of a few words."""

    def __init__(self, inner: click.ParamType, *words: str) -> None:
        self.name = inner.name
        self._inner = inner
        self._words = ("", *words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in self._words else self._inner.convert(value, param, ctx)
