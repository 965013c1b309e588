"""What all workers of an id must have been started with alike: they would undo each other's work otherwise."""

from __future__ import annotations

from typing import NamedTuple

from fanout_app.core.roster import Heartbeat


class Ways(NamedTuple):
    """Options, by their names; empty where a worker of an earlier version does not say."""

    delivery: str
    order: str


def contradiction(mine: Ways, other: Heartbeat) -> str | None:
    """What is wrong, and what to do about it; None where nothing is."""
    for option, own in mine._asdict().items():
        theirs = getattr(other, option)
        if theirs and theirs != own:
            return (
                f"worker {other.worker} at {other.address} was started with --{option} {theirs}, and this one with "
                f"--{option} {own}: all workers of an --id must have the same; stop all of them to change it"
            )
    return None
