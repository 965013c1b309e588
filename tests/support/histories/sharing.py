"""The shares of groups: an operator who changes them at any worker, and who asks all workers for them; recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any, Literal

import aiohttp

from support.histories.client import Target, is_ours, outcome_of
from support.histories.crowd import Crowd
from support.histories.events import Changed, Changing, Shares, SharesRead
from support.histories.recorder import Recorder

_EVERY = 0.3
_WITHIN = aiohttp.ClientTimeout(total=8.0)
#: An operator whose change nobody takes tries again for so long, and so often.
_TRIED_FOR = 30.0
_PAUSE = 0.3

By = Literal["message", "key"]
#: The group that is put to the test.
CANARY = "canary"
#: What takes a group out that fails a third of what it is given, within about two seconds.
GUARD = {"window_ms": 2000, "min_samples": 5, "max_failure_ratio": 0.33}


class Operator:
    """Changes the shares of groups."""

    def __init__(self, recorder: Recorder, session: aiohttp.ClientSession, crowd: Crowd) -> None:
        self._recorder = recorder
        self._session = session
        self._crowd = crowd

    def target(self, which: int) -> Target:
        """One of the workers that are there."""
        if not self._crowd.there:
            return self._crowd.last
        number = self._crowd.number(which)
        return Target(number, self._crowd.there[number].url)

    async def see_to(self, weights: Mapping[str, int], *, by_key: bool, which: int = 0, guarded: bool = False) -> bool:
        """Ask one worker after the other for it until it is done; whether it is."""
        deadline = monotonic() + _TRIED_FOR
        while monotonic() < deadline:
            if await self.change(self.target(which), weights, by_key=by_key, guarded=guarded) is not None:
                return True
            which += 1
            await asyncio.sleep(_PAUSE)
        return False

    async def change(
        self, at: Target, weights: Mapping[str, int], *, by_key: bool, guarded: bool = False, of: Shares | None = None
    ) -> Shares | None:
        """What holds now, if it was done."""
        recorder, op = self._recorder, self._recorder.op()
        by: By = "key" if by_key else "message"
        recorder.write(
            Changing(
                at=recorder.now(),
                op=op,
                worker=at.number,
                weights=dict(weights),
                by=by,
                guarded=guarded,
                of=(of.version, of.made_in) if of else None,
            )
        )
        body: dict[str, Any] = {"weights": dict(weights), "by": by}
        # Whose group is named has the guard that is named with it, or none.
        body |= {"group": CANARY} if CANARY in weights else {}
        body |= {"guard": GUARD} if guarded else {}
        tag = f'"{of.made_in}-{of.version}"' if of else "*"
        try:
            async with self._session.put(
                f"{at.url}/v1/canary", json=body, headers={"If-Match": tag}, timeout=_WITHIN
            ) as response:
                answer = await response.json(content_type=None)
                shares = _shares(response, answer) if response.status == 200 else None
        except BaseException as error:
            recorder.write(Changed(at=recorder.now(), op=op, outcome=outcome_of(error), error=repr(error)))
            if is_ours(error):
                raise
            return None
        refused = "" if shares else str(answer.get("detail", answer))
        recorder.write(
            Changed(at=recorder.now(), op=op, outcome="answered", status=response.status, shares=shares, error=refused)
        )
        return shares

    async def read(self, at: Target) -> Shares | None:
        """What this worker says."""
        recorder = self._recorder
        sent = recorder.now()
        try:
            async with self._session.get(f"{at.url}/v1/canary", timeout=_WITHIN) as response:
                if response.status != 200:
                    return None
                shares = _shares(response, await response.json())
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None
        recorder.write(SharesRead(at=recorder.now(), sent=sent, worker=at.number, shares=shares))
        return shares

    async def watch(self) -> None:
        """Ask all that are ready again and again, each for itself, until cancelled."""
        crowd = self._crowd

        async def keep_asking(number: int) -> None:
            while number in crowd.there:
                await self.read(Target(number, crowd.there[number].url))
                await asyncio.sleep(_EVERY)

        asked: set[int] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for number in (crowd.ready & crowd.there.keys()) - asked:
                    asked.add(number)
                    group.create_task(keep_asking(number))
                await asyncio.sleep(_EVERY)


def _shares(response: aiohttp.ClientResponse, body: Mapping[str, Any]) -> Shares:
    made_in, _, version = response.headers["ETag"].strip('"').partition("-")
    return Shares(version=int(version), made_in=int(made_in), weights=body["weights"], by=body["by"])
