"""Who of the group gets which partitions: Faust's assignor, which keeps source and changelog together here.

Faust assigns topics together only where they have equally many partitions. While partitions are being added the source
has more than the changelog for a moment, and each of the two would be assigned by itself: workers would serve
partitions whose ledgers others read. Here what only one of the two has is nobody's until both have it.
"""

from __future__ import annotations

from typing import Any

from faust.assignor import PartitionAssignor


class LedgerAssignor(PartitionAssignor):
    """Faust's assignor of actives, for one source topic and the changelog beside it."""

    @classmethod
    def _get_copartitioned_groups(cls, topics: set[str], cluster: Any, subscriptions: Any) -> Any:
        served = min((len(cluster.partitions_for_topic(topic) or ()) for topic in topics), default=0)
        # A topic that is not there has no partitions: then nobody gets any, and whoever watches topics says so.
        return {served: cls._group_co_subscribed(topics, subscriptions)} if served else {}
