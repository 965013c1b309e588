"""A client that writes down what it asks and what it is answered, and leaves in the middle if it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp

from support.histories.events import (
    DONE,
    OK,
    STABLE,
    Entry,
    Handed,
    Outcome,
    Pulled,
    Pulling,
    Settled,
    Settling,
    Verb,
)
from support.histories.recorder import Recorder, digest
from support.histories.tokens import Held, Pool
from support.histories.unread import read_unless_it_is_too_much

#: Who roams meets another worker in so many turns.
_TURNS = 20
#: Whoever waits longer for an answer has seen enough of a hang.
_PATIENCE = 20.0


class Target(NamedTuple):
    """A worker to be asked."""

    #: Which start this is, counted from 1 over all workers.
    number: int
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a pull brought."""

    token: str = ""
    messages: Sequence[Held] = ()
    #: Of the settle that rode along: which of its leases need to be asked for again.
    unknown: Sequence[Held] = ()
    refused: bool = False
    #: We hung up on it.
    unread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """What to settle. ``batch`` acks what is left of it by its own token."""

    ack: Sequence[Held] = ()
    nack: Sequence[Held] = ()
    extend: Sequence[Held] = ()
    reject: Sequence[Held] = ()
    batch: Batch | None = None
    durable: bool = True
    delay_ms: int | None = None
    ack_wait_ms: int | None = None

    def body(self) -> dict[str, Any]:
        nack = {} if self.delay_ms is None else {"delay_ms": self.delay_ms}
        extend = {} if self.ack_wait_ms is None else {"ack_wait_ms": self.ack_wait_ms}
        body = {
            "extend": [{"lease": held.token, **extend} for held in self.extend],
            "nack": [{"lease": held.token, **nack} for held in self.nack],
            "reject": [{"lease": held.token, "reason": "a history's"} for held in self.reject],
            "ack": [held.token for held in self.ack] + ([self.batch.token] if self.batch else []),
        }
        return {**{verb: entries for verb, entries in body.items() if entries}, "durable": self.durable}

    def entries(self) -> list[tuple[Entry, Held]]:
        named = {held.lease for verb in (self.ack, self.nack, self.extend, self.reject) for held in verb}
        rest = [held for held in self.batch.messages if held.lease not in named] if self.batch else []
        by_verb: list[tuple[Verb, Iterable[Held]]] = [
            ("extend", self.extend), ("nack", self.nack), ("reject", self.reject), ("ack", [*self.ack, *rest]),
        ]  # fmt: skip
        return [
            (
                Entry(
                    verb=verb,
                    lease=held.lease,
                    delay_ms=self.delay_ms if verb == "nack" else None,
                    ack_wait_ms=self.ack_wait_ms if verb == "extend" else None,
                    forged=held.forged,
                ),
                held,
            )
            for verb, several in by_verb
            for held in several
        ]


class RecordedClient:
    """One client; which worker it asks it is told before each request."""

    def __init__(
        self,
        recorder: Recorder,
        session: aiohttp.ClientSession,
        target: Callable[[], Target],
        name: str,
        pool: Pool | None = None,
        group: str = "",
        *,
        broadcast: bool = False,
    ) -> None:
        self.name = name
        #: Who names none is of the baseline, or of a group of its own.
        self.group = group or (name if broadcast else STABLE)
        self._named = {"group": group} if group else {}
        #: What it holds and what others do.
        self.pool = pool or Pool()
        self._pulled_at = 0
        self._recorder = recorder
        self._session = session
        self._target = target

    async def pull(
        self, *, wait_ms: int, ack_wait_ms: int, max_messages: int = 1, settle: Settle | None = None
    ) -> Batch:
        """Pull; whoever cancels this closes the connection, and nobody will know what the answer was."""
        recorder = self._recorder
        target = self._target()
        self._pulled_at = target.number
        op = self._begin_pull(target, wait_ms, ack_wait_ms, max_messages)
        body: dict[str, Any] = {
            "client": self.name, "encoding": "utf8", "wait_ms": wait_ms, "ack_wait_ms": ack_wait_ms,
            "max_messages": max_messages, "max_bytes": 16 << 20, **self._named,
        }  # fmt: skip
        riding = self._begin_settle(target, settle, pull=op) if settle else 0
        if settle:
            body["settle"] = settle.body()
        try:
            status, headers, answer = await self._ask(target, "pull", body, wait_ms / 1000)
        except BaseException as error:
            outcome = outcome_of(error)
            recorder.write(Pulled(at=recorder.now(), op=op, outcome=outcome, error=repr(error)))
            if settle:
                recorder.write(Settled(at=recorder.now(), op=riding, outcome=outcome, error=repr(error)))
            if is_ours(error):
                raise
            return Batch(refused=outcome == "refused", unknown=[held for _, held in settle.entries()] if settle else ())
        batch = self._pulled(op, status, headers, answer)
        if settle:
            unknown = self._settled(riding, settle, status, answer.get("settled"), answer)
            return Batch(token=batch.token, messages=batch.messages, unknown=unknown)
        return batch

    async def settle(self, settle: Settle, *, elsewhere: bool = False) -> list[Held]:
        """Settle; ``elsewhere``: at another worker than it pulled from last, if its target leads to one.

        Returns those of which nobody knows whether it counts.
        """
        recorder = self._recorder
        target = self._target()
        for _ in range(_TURNS if elsewhere else 0):
            if target.number != self._pulled_at:
                break
            target = self._target()
        op = self._begin_settle(target, settle)
        try:
            status, _, answer = await self._ask(target, "settle", settle.body(), 0.0)
        except BaseException as error:
            recorder.write(Settled(at=recorder.now(), op=op, outcome=outcome_of(error), error=repr(error)))
            if is_ours(error):
                raise
            return [held for _, held in settle.entries()]
        return self._settled(op, settle, status, answer if status == 200 else None, answer)

    async def pull_unread(self, *, wait_ms: int, ack_wait_ms: int, max_messages: int) -> Batch:
        """Pull, and if more is to come than any kernel takes, reset the connection with all but its head unread."""
        recorder = self._recorder
        target = self._target()
        op = self._begin_pull(target, wait_ms, ack_wait_ms, max_messages)
        fields = {"client": self.name, "wait_ms": wait_ms, "ack_wait_ms": ack_wait_ms, "max_messages": max_messages}
        body = json.dumps({**fields, "encoding": "utf8", "max_bytes": 16 << 20, **self._named}).encode()
        try:
            async with asyncio.timeout(wait_ms / 1000 + _PATIENCE):
                status, answer = await read_unless_it_is_too_much(target.url, body)
        except BaseException as error:
            recorder.write(Pulled(at=recorder.now(), op=op, outcome=outcome_of(error), error=repr(error)))
            if is_ours(error):
                raise
            return Batch(refused=True)
        if answer is None:
            recorder.write(Pulled(at=recorder.now(), op=op, outcome="unwritten", status=status))
            return Batch(unread=True)
        return self._pulled(op, status, {}, json.loads(answer or b"{}"))

    # Writing it down -------------------------------------------------------------------------------------------------

    def _begin_pull(self, target: Target, wait_ms: int, ack_wait_ms: int, max_messages: int) -> int:
        op = self._recorder.op()
        self._recorder.write(
            Pulling(
                at=self._recorder.now(),
                op=op,
                client=self.name,
                worker=target.number,
                wait_ms=wait_ms,
                ack_wait_ms=ack_wait_ms,
                max_messages=max_messages,
                group=self.group,
            )
        )
        return op

    def _begin_settle(self, target: Target, settle: Settle, pull: int | None = None) -> int:
        op = self._recorder.op()
        self._recorder.write(
            Settling(
                at=self._recorder.now(),
                op=op,
                client=self.name,
                worker=target.number,
                entries=[entry for entry, _ in settle.entries()],
                durable=settle.durable,
                pull=pull,
            )
        )
        return op

    def _pulled(self, op: int, status: int, headers: Any, answer: dict[str, Any]) -> Batch:
        recorder = self._recorder
        wires = answer.get("messages", []) if status == 200 else []
        messages = [
            Handed(
                lease=recorder.lease(wire["lease"]),
                partition=wire["partition"],
                offset=wire["offset"],
                delivery_count=wire["delivery_count"],
                key=wire["key"],
                body=digest(wire["value"] or ""),
            )
            for wire in wires
        ]
        empty = headers.get("Fanout-Empty") or answer.get("empty") or ""
        error = "" if status in (200, 204) else str(answer.get("detail", answer))
        recorder.write(
            Pulled(
                at=recorder.now(), op=op, outcome="answered", status=status, messages=messages, empty=empty, error=error
            )
        )
        held = [Held(wire["lease"], one.lease, one.delivery_count) for wire, one in zip(wires, messages, strict=True)]
        for one in held:
            self.pool.add(self.name, one)
        return Batch(token=answer.get("batch") or "", messages=held)

    def _settled(
        self, op: int, settle: Settle, status: int, settled: dict[str, Any] | None, answer: dict[str, Any]
    ) -> list[Held]:
        recorder = self._recorder
        statuses = ["retry"] * len(settle.entries())
        error = ""
        if settled is not None:
            statuses = _statuses(settle, settled["results"])
        else:
            error = str(answer.get("detail", answer))
        recorder.write(
            Settled(at=recorder.now(), op=op, outcome="answered", status=status, statuses=statuses, error=error)
        )
        for (entry, held), one in zip(settle.entries(), statuses, strict=True):
            if entry.verb == "ack" and one in DONE:
                self.pool.settled(held)
        return [held for (_, held), one in zip(settle.entries(), statuses, strict=True) if one == "retry"]

    async def _ask(
        self, target: Target, what: str, body: dict[str, Any], wait: float
    ) -> tuple[int, Any, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=wait + _PATIENCE)
        async with self._session.post(f"{target.url}/v1/{what}", json=body, timeout=timeout) as response:
            answer = {} if response.status == 204 else await response.json(content_type=None)
            return response.status, response.headers, answer


def _statuses(settle: Settle, rows: list[dict[str, str]]) -> list[str]:
    """One for each entry. What was named by itself is in its batch no more, and has a row that says so besides."""
    own = {row["lease"]: row["status"] for row in rows if row["status"] != "not_in_batch"}
    in_batch = {row["lease"]: row["status"] for row in rows}
    of_batch = own.get(settle.batch.token, OK) if settle.batch else OK
    direct = {held.lease for verb in (settle.ack, settle.nack, settle.extend, settle.reject) for held in verb}
    return [
        own.get(held.token, OK) if held.lease in direct else in_batch.get(held.token, of_batch)
        for _, held in settle.entries()
    ]


def outcome_of(error: BaseException) -> Outcome:
    return "refused" if isinstance(error, (aiohttp.ClientConnectorError, ConnectionRefusedError)) else "unknown"


def is_ours(error: BaseException) -> bool:
    """Whether this is none of what happens to connections."""
    return not isinstance(error, (aiohttp.ClientError, OSError, TimeoutError))
