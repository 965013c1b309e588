"""Faust's settings for a worker, each set on purpose."""

from __future__ import annotations

from typing import Any

from fanout_app.kafka.assignor import LedgerAssignor
from fanout_app.kafka.brokers import Brokers
from fanout_app.kafka.prepare import Prepared
from fanout_app.kafka.recovery import LedgerTables
from fanout_app.logs import logging_config
from fanout_app.options import Options
from fanout_app.worker import FanoutWorker

_MONTH = 30 * 24 * 3600.0
#: Seconds. The answer to a heartbeat is how a member learns that another one has come or gone, so all stand still for
#: up to so long before anything moves; a heartbeat costs some 50 bytes and nothing else worth counting.
_HEARTBEAT = 0.5


def settings(options: Options, brokers: Brokers, prepared: Prepared) -> dict[str, Any]:
    return {
        "broker": [f"kafka://{broker}" for broker in brokers.addresses],
        "broker_credentials": brokers.credentials,
        "store": "memory://",
        # Waiting for messages to be acked would hold rebalances and shutdown up for as long as clients hold leases.
        "stream_wait_empty": False,
        "stream_buffer_maxsize": 16,
        "stream_publish_on_commit": False,
        # An idle member leaves the group after this and can never rejoin: a spare, or a worker without clients.
        "broker_max_poll_interval": _MONTH,
        "broker_session_timeout": options.session_timeout,
        "broker_heartbeat_interval": min(_HEARTBEAT, options.session_timeout / 4),
        "broker_request_timeout": max(20.0, options.session_timeout + 5),
        "broker_rebalance_timeout": max(30.0, options.session_timeout * 2),
        "broker_commit_interval": options.commit_interval,
        # A partition whose clients are slow commits nothing for long: no fault, see the worker's own health check.
        "broker_commit_livelock_soft_timeout": _MONTH,
        "stream_processing_timeout": _MONTH,
        # Standbys would follow every changelog all the time to save tenths of a second of a take-over, and Faust lets
        # a worker go without partitions while others have several (`docs/decisions/0012-take-over.md`).
        "table_standby_replicas": 0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": 1 << 20,
        "producer_acks": -1,
        "producer_linger": 0.0,
        "producer_max_request_size": int(options.max_row_bytes) + (1 << 20),
        "topic_partitions": prepared.source.partitions,
        "topic_replication_factor": prepared.source.replication,
        # They are made and checked before; who may not create topics is refused even where there is nothing to create.
        "topic_allow_declare": False,
        # There is no leader among Faust's workers here, so no topic for one either.
        "topic_disable_leader": True,
        "web_enabled": True,
        "web_application_options": {"client_max_size": int(options.max_body_size)},
        "Worker": FanoutWorker,
        "PartitionAssignor": LedgerAssignor,
        "TableManager": LedgerTables,
        "worker_redirect_stdouts": False,
        "logging_config": logging_config(verbose=options.verbose),
    }
