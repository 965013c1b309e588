"""Shows at a real worker that requests which are refused change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

from support.fuzz.contract import faults_of, refused
from support.fuzz.draft import Draft
from support.fuzz.wire import Got, ask
from support.workers import Worker

_VIEWS = ("status", "partitions", "leases?limit=1000", "clients", "parked?limit=1000")
#: What goes on by itself.
_PASSES = frozenset({"age_ms", "time_left_ms", "oldest_age_seconds", "lease_ends_unix_ms"})
_AT_ONCE = 8


async def sent(worker: Worker, drafts: Sequence[Draft], tokens: Mapping[str, str]) -> list[Got]:
    """The answers to these, several at once; each is as documented."""
    answers: dict[int, Got] = {}
    port = int(worker.url.rpartition(":")[2])
    left = iter(enumerate(drafts))

    async def send() -> None:
        for number, draft in left:
            raw = draft.raw(tokens)
            got = answers[number] = await ask(port, raw)
            assert not faults_of(draft, got), (faults_of(draft, got), raw[:2000], got)

    await asyncio.gather(*(send() for _ in range(_AT_ONCE)))
    return [answers[number] for number in range(len(drafts))]


async def state(session: aiohttp.ClientSession, worker: Worker) -> dict[str, Any]:
    """All that those who run it are told."""
    found: dict[str, tuple[Any, Any]] = {}
    for view in _VIEWS:
        async with session.get(f"{worker.url}/v1/{view}") as response:
            assert response.status == 200, await response.text()
            found[view] = _standing(await response.json())
    return found


def _standing(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _standing(entry) for name, entry in value.items() if name not in _PASSES}
    if isinstance(value, list):
        return [_standing(entry) for entry in value]
    return value


def differences(before: Any, after: Any, at: str = "") -> dict[str, tuple[Any, Any]]:
    """What is not as it was, by its place."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        before, after = dict(enumerate(before)), dict(enumerate(after))
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return {} if before == after else {at: (before, after)}
    found: dict[str, tuple[Any, Any]] = {}
    for name in before.keys() | after.keys():
        found |= differences(before.get(name), after.get(name), f"{at}.{name}")
    return found


def those_refused(drafts: Sequence[Draft], answers: Sequence[Got]) -> list[Draft]:
    return [draft for draft, got in zip(drafts, answers, strict=True) if refused(got)]
