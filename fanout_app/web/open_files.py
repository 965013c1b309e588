"""How many connections the process may have: many systems allow 1024 files unless one asks for more."""

from __future__ import annotations

import logging
import resource
from typing import Final

logger = logging.getLogger("fanout.web.open_files")

#: Files beside the connections of waiting pulls: Kafka, ZooKeeper, and the connections of whoever does not pull.
_BESIDES: Final = 200


def room_for(pulls: int) -> int:
    """Raise the soft limit of open files, as far as the hard one allows, and return how many pulls may wait then.

    A connection that could not be accepted would wait unanswered, and one to Kafka could not be made again: better one
    pull is answered 429.
    """
    # Clients settle on connections of their own while their pulls wait.
    limit = _raised(_BESIDES + 2 * pulls)
    fits = max(1, limit - _BESIDES)
    if fits >= pulls:
        return pulls
    logger.warning(
        "%d pulls may wait, not %d: this process may open %d files; raise that (ulimit -Hn), or lower --max-waiting",
        fits, pulls, limit,
    )  # fmt: skip
    return fits


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
