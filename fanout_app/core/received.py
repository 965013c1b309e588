"""Answers that may have been lost on the way to their clients, by the names that these gave their pulls."""

from __future__ import annotations

from collections.abc import Callable

from fanout_app.core.lease import Answer, LeaseRun
from fanout_app.core.message import Message
from fanout_app.core.requests import Pull


class Received:
    """Each is here while any of its leases is live. Of two answers to pulls of one name the later is meant."""

    def __init__(self, live_messages: Callable[[LeaseRun], list[Message]]) -> None:
        """``live_messages`` are those of a run that are under its lease still."""
        self._live_messages = live_messages
        self._answers: dict[tuple[str, str], Answer] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, answer: Answer) -> None:
        self._answers[answer.client, answer.receive_id] = answer

    def over(self, answer: Answer) -> None:
        """Nothing of it is live any more."""
        name = (answer.client, answer.receive_id)
        if self._answers.get(name) is answer:
            del self._answers[name]

    def again(self, pull: Pull) -> Answer | None:
        """What a pull of this client, group and name was answered with; `Answer.shown` is what is live of it now."""
        answer = self._answers.get((pull.client, pull.receive_id))
        if answer is None or answer.group != pull.group:
            return None
        answer.shown = [self._as_it_stands(run) for run in (*answer.runs, *answer.splits) if run.live]
        return answer

    def _as_it_stands(self, run: LeaseRun) -> LeaseRun:
        """The run with nothing but its live messages; another one that is to be looked at only, unless all are live."""
        messages = self._live_messages(run)
        if len(messages) == len(run.messages):
            return run
        shown = LeaseRun(
            batch=run.batch,
            partition=run.partition,
            era=run.era,
            client=run.client,
            group=run.group,
            messages=messages,
            delivery_count=run.delivery_count,
            delivered_at=run.delivered_at,
            ack_wait=run.ack_wait,
        )
        shown.deadline = run.deadline
        return shown
