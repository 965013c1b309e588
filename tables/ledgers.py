"""The Table that remembers: for each partition of the topic, what is settled and what is not."""

from __future__ import annotations

from fanout_app.faust_app import Fanout
from fanout_app.kafka.ledger_table import LedgerTable


def declare(app: Fanout) -> LedgerTable:
    """Key: partition and generation modulo 8, of a group with a ledger of its own its slot too. Value: a row of
    `fanout_app.core.ledger_row`, or of `fanout_app.core.group_row`.

    The changelog has exactly as many partitions as the topic, or Faust would assign the two apart.
    """
    table = LedgerTable(
        app,
        name=f"{app.options.name}-ledgers",
        partitions=app.source.partitions,
        key_type=bytes,
        value_type=bytes,
        changelog_topic=app.changelog_topic,
        store="memory://",
    )
    app.tables.add(table)
    return table
