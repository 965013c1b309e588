"""Rules about the shares of groups: who is handed nothing, what goes next to stable, and whose a key is; and what was
answered of a change of shares. One function a rule; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from support.histories.events import STABLE, Shares, SharesRead
from support.histories.faults import Found
from support.histories.holding import IN_EFFECT, Holding, Presence
from support.histories.records import Delivery
from support.histories.shares_log import Change, rank
from support.histories.view import History

# What is handed to whom -----------------------------------------------------------------------------------------------


def weight_zero(history: History) -> Found:
    """A group without weight is handed nothing; stable is, while no client of any other one is there."""
    presence = Presence(history)
    for delivery, shares in _under_shares(history):
        if shares.weights.get(delivery.group, 0) == 0:
            given = _given(history, delivery)
            others = [group for group, weight in shares.weights.items() if weight]
            # What is due to one of which nobody is there is stable's.
            if delivery.group != STABLE or all(presence.alive(group, given, delivery.seen) for group in others):
                yield f"{delivery.place} was handed to {delivery.group}, which has no weight", [
                    delivery.pull.line, delivery.line,
                ]  # fmt: skip


def failed_by_a_canary(history: History) -> Found:
    """What another group than stable has failed goes next to stable, as long as that has a weight."""
    holding = Holding(history)
    for place, deliveries in history.deliveries.items():
        for first, second in pairwise(deliveries):
            if STABLE in (first.group, second.group) or not _is_next(history, first, second):
                continue
            shares = holding.between(first.seen, second.seen)
            if shares is not None and shares.weights.get(STABLE, 0):
                yield f"{place}, which {first.group} had failed, went next to {second.group}", [
                    first.pull.line, first.line, second.pull.line, second.line,
                ]  # fmt: skip


def _is_next(history: History, first: Delivery, second: Delivery) -> bool:
    """Whether the second one is certainly the next one after the first, which was counted as failed."""
    return (
        first.seen < second.sent
        and second.count == first.count + 1
        # It may have come back from stable, and somebody else may have failed it.
        and not (history.may_be_lent(first) and history.unseen_between(first.sent, second.seen))
        # An owner that is killed knows best whose it is.
        and not history.shaken(first.sent, second.seen)
    )


def key_of_another_group(history: History) -> Found:
    """By key: what is handed out of a key for the first time goes to one group, as long as nothing changes."""
    presence = Presence(history)
    first_of: dict[tuple[tuple[int, int], str], Delivery] = {}
    for delivery, shares in _under_shares(history):
        key = delivery.handed.key
        if shares.by != "key" or key is None or delivery.count > 1:
            continue
        weighted = [group for group, weight in shares.weights.items() if weight]
        if not all(presence.alive(group, _given(history, delivery), delivery.seen) for group in weighted):
            continue
        first = first_of.setdefault((rank(shares), key), delivery)
        if first.group != delivery.group:
            yield f"{delivery.place} of key {key} was handed to {delivery.group}, others of it to {first.group}", [
                first.pull.line, first.line, delivery.pull.line, delivery.line,
            ]  # fmt: skip


def _under_shares(history: History) -> Iterator[tuple[Delivery, Shares]]:
    """Each delivery in whose time the same shares held for certain at all workers, and these."""
    holding = Holding(history)
    for deliveries in history.deliveries.values():
        for delivery in deliveries:
            shares = holding.between(_given(history, delivery), delivery.seen)
            if shares is not None:
                yield delivery, shares


def _given(history: History, delivery: Delivery) -> float:
    """When it was handed out at the earliest."""
    message = history.message(delivery.place)
    return max(delivery.sent, message.asked.at if message else 0.0)


# What was answered ----------------------------------------------------------------------------------------------------


def shares_undone(history: History) -> Found:
    """What was answered of a change is never undone by a smaller version, at a worker that has said so or known it."""
    answered = _answered(history)
    for first, (change, shares) in enumerate(answered):
        for other, others in answered[first + 1 :]:
            same = change.asked.of is not None and change.asked.of == other.asked.of
            if same or (other.asked.at > change.ended and others.version <= shares.version):
                yield f"version {others.version} was answered, which does not come after version {shares.version}", [
                    change.line, change.end_line, other.line, other.end_line,
                ]  # fmt: skip
    for worker, reads in _by_worker(history).items():
        known = _Known(answered, worker)
        for read, line in reads:
            latest = known.before(read)
            if latest is not None and _is_older(read.shares, latest[1]):
                change, shares = latest
                yield f"worker {worker} was at version {read.shares.version} after {shares.version} was answered", [
                    change.line, change.end_line, line,
                ]  # fmt: skip


def shares_apart(history: History) -> Found:
    """All workers say within 2 s what was answered by one."""
    answered = _answered(history)
    for worker, reads in _by_worker(history).items():
        known = _Known(answered, worker)
        for read, line in reads:
            due = [
                one for one in answered
                if one[0].ended + IN_EFFECT < read.sent and not history.deafened(one[0].ended, read.at)
            ]  # fmt: skip
            latest = max(due, key=lambda one: rank(one[1]), default=None)
            its_own = known.before(read)
            # What a worker knew and has forgotten is another matter.
            if (
                latest is not None
                and _is_older(read.shares, latest[1])
                and (its_own is None or rank(its_own[1]) < rank(latest[1]))
            ):
                yield f"worker {worker} was at version {read.shares.version}, others at {latest[1].version}", [
                    latest[0].line, latest[0].end_line, line,
                ]  # fmt: skip


def _is_older(shares: Shares, answered: Shares) -> bool:
    """Whether it is not what was answered, and nothing that came after it."""
    return shares.version < answered.version or (shares.version == answered.version and shares != answered)


def _answered(history: History) -> list[tuple[Change, Shares]]:
    """Changes that were answered as done, and what held then, in the order of the answers."""
    done = [(change, change.answered) for change in history.shares.changes]
    return sorted(((c, shares) for c, shares in done if shares is not None), key=lambda one: one[0].ended)


def _by_worker(history: History) -> dict[int, list[tuple[SharesRead, int]]]:
    reads: dict[int, list[tuple[SharesRead, int]]] = defaultdict(list)
    for read, line in history.shares.reads:
        reads[read.worker].append((read, line))
    return reads


class _Known:
    """The latest of what was answered that one worker certainly knew of."""

    def __init__(self, answered: list[tuple[Change, Shares]], worker: int) -> None:
        self._answered = answered
        self._worker = worker
        self._latest: tuple[Change, Shares] | None = None
        self._last: SharesRead | None = None

    def before(self, read: SharesRead) -> tuple[Change, Shares] | None:
        """Before it was asked this; it is asked one after the other."""
        for change, shares in self._answered:
            told = change.asked.worker == self._worker and change.ended < read.sent
            last = self._last
            said = last is not None and last.at >= change.ended and rank(last.shares) >= rank(shares)
            if (told or said) and (self._latest is None or rank(shares) > rank(self._latest[1])):
                self._latest = change, shares
        self._last = read
        return self._latest
