"""How many connections the process may have: many systems allow 1024 files unless one asks for more."""

from __future__ import annotations

import logging
import resource
from typing import Final, NamedTuple

logger = logging.getLogger("fanout.web.open_files")

#: Files beside the connections of waiting pulls: Kafka, ZooKeeper, and the connections of whoever does not pull.
_BESIDES: Final = 180
#: Files beside all connections of clients: Kafka, ZooKeeper, and what those have who run it at a port of their own.
_OURS: Final = 130


class Room(NamedTuple):
    """What there is room for."""

    pulls: int
    connections: int


def room_for(pulls: int, connections: int | None = None, streams: int = 20) -> Room:
    """Raise the soft limit of open files, as far as the hard one allows, and return how many fit then.

    A connection that could not be accepted would wait unanswered, and one to Kafka could not be made again: better one
    pull is answered 429. Those who look on (``streams``) are let in beside the pulls, or at a port of their own.
    """
    besides, ours = _BESIDES + streams, _OURS + streams
    if connections is None:
        # Clients settle on connections of their own while their pulls wait.
        connections = 2 * pulls
    limit = _raised(besides + max(pulls, connections))
    room = Room(min(pulls, max(1, limit - besides)), min(connections, max(1, limit - ours)))
    if room.pulls < pulls:
        logger.warning(
            "%d pulls may wait, not %d: this process may open %d files; raise that (ulimit -Hn), or lower"
            " --max-waiting",
            room.pulls, pulls, limit,
        )  # fmt: skip
    return room


def _raised(wanted: int) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    able = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (able, hard))
    except (OSError, ValueError) as error:
        logger.debug("the limit of %d open files stays: %s", soft, error)
        return soft
    return able
