"""What was asked and said of the shares of groups in a history. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from support.histories.events import Changed, Changing, Shares, SharesRead

#: What a worker says that has not begun to do it. What becomes of any other change that was answered 503 nobody knows,
#: and for so long it may come to hold after all.
_NOT_BEGUN = ("no worker leads", "no connection to the leader", "does not lead")
_MAY_STILL_COME = 20.0


@dataclass(slots=True, eq=False)
class Change:
    asked: Changing
    line: int
    end: Changed | None = None
    end_line: int = 0

    @property
    def answered(self) -> Shares | None:
        """What it has come to, if it is known to have been done: what holds then is what was asked for."""
        shares = self.end.shares if self.end and self.end.outcome == "answered" and self.end.status == 200 else None
        done = shares is not None and (shares.weights, shares.by) == (self.asked.weights, self.asked.by)
        return shares if done else None

    def is_over(self, shares: Shares, at: float) -> bool:
        """Whether it has certainly come to nothing by then, or to no later version than this."""
        if self.answered is not None:
            return rank(self.answered) <= rank(shares)
        end = self.end
        if end is not None and (end.outcome == "refused" or any(said in end.error for said in _NOT_BEGUN)):
            return True
        if end is not None and end.outcome == "answered" and end.status < 500 and end.shares is None:
            return True
        return self.asked.at + _MAY_STILL_COME < at

    @property
    def ended(self) -> float:
        return self.end.at if self.end else inf


@dataclass(slots=True)
class SharesLog:
    """What was asked and said of the shares of groups."""

    changes: list[Change] = field(default_factory=list)
    reads: list[tuple[SharesRead, int]] = field(default_factory=list)

    def take(self, event: Changing | Changed | SharesRead, line: int) -> None:
        match event:
            case Changing():
                self.changes.append(Change(event, line))
            case Changed():
                change = next(one for one in reversed(self.changes) if one.asked.op == event.op)
                change.end, change.end_line = event, line
            case SharesRead():
                self.reads.append((event, line))


def rank(shares: Shares) -> tuple[int, int]:
    return shares.version, shares.made_in
