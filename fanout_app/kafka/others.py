"""Whether workers that run already were started with other options: found out before this one joins them."""

from __future__ import annotations

import asyncio
import logging
from time import monotonic

from fanout_app.core.alike import Ways, contradiction
from fanout_app.core.errors import RowError, StartError
from fanout_app.core.heartbeat_row import decode_heartbeat
from fanout_app.core.roster import SILENCE
from fanout_app.heartbeat import ways_of
from fanout_app.kafka.board import Board
from fanout_app.kafka.cluster import PREFIX
from fanout_app.lease_keys import Seal
from fanout_app.options import Options

logger = logging.getLogger("fanout.kafka.others")

_LOOK_EVERY = 0.1


async def refuse_contradiction(board: Board, options: Options, seal: Seal) -> None:
    """Ends at once where all that stands on the board agrees with ``options``.

    Else it waits for as long as a worker may be silent: one that is dead and has said nothing stands there too.

    Raises:
        StartError: a worker that lives does not.
    """
    until = monotonic() + SILENCE
    wrong = _contradictions(board, options, seal)
    standing = {key: board.latest(key) for key in wrong}
    if wrong:
        logger.info("workers with other options stand on the board: looking for %g s whether they live", SILENCE)
    while wrong and monotonic() < until:
        await asyncio.sleep(_LOOK_EVERY)
        await board.read()
        wrong = _contradictions(board, options, seal)
        for key, why in wrong.items():
            if board.latest(key) != standing.get(key):
                raise StartError(why)


def _contradictions(board: Board, options: Options, seal: Seal) -> dict[str, str]:
    """By the key of a heartbeat: why its worker cannot be one of the same cluster."""
    found: dict[str, str] = {}
    ways: Ways = ways_of(options)
    for key, value in board.sealed(PREFIX, seal).items():
        try:
            why = contradiction(ways, decode_heartbeat(value, id=options.id, topic=options.topic))
        except RowError:
            continue  # it is left out while the worker runs, too, and counted there
        if why is not None:
            found[key] = why
    return found
