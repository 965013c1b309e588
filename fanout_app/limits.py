"""The limits of a queue, from the options of its worker."""

from __future__ import annotations

from fanout_app.core.limits import Limits
from fanout_app.core.redelivery import Backoff
from fanout_app.options import Options


def limits_of(options: Options) -> Limits:
    return Limits(
        max_ack_pending=options.max_ack_pending,
        buffer_bytes=int(options.buffer_bytes),
        client_limit=options.client_limit,
        client_ttl=options.client_ttl,
        other_client_wait=options.other_client_wait,
        backoff=Backoff(
            first=options.backoff_first, longest=options.backoff_longest, jitter_share=options.backoff_jitter
        ),
        long_delay=options.long_delay,
        max_deliver=options.max_deliver,
        max_row_bytes=int(options.max_row_bytes),
        order_by_key=options.order == "key",
    )
