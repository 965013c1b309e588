"""Every metric of a worker: the exporter exports these, docs/metrics.md is made from them (`bin/metrics-page`).

Rules for this file: one constant a metric, in the order in which an operator looks. A label has a bounded number of
values: no name that a client may choose is one, but for groups, of which there are a hundred at most.
"""

from __future__ import annotations

from typing import Final

from fanout_app.core.canary_steps import DECISIONS
from fanout_app.metric import Label, Metric, counter, gauge, histogram

PARTITION: Final = Label("partition", "A partition that this worker owns, by its number.")
GROUP: Final = Label(
    "group",
    "A group that has a weight, or with `--delivery broadcast` a ledger of its own: 100 at most.",
)
SETTLED_HOW: Final = Label(
    "how",
    "`late` is an ack after the lease had ended.",
    ("acked", "late", "rejected", "dead-lettered"),
)
ENDED_HOW: Final = Label("how", "Rejects are among the `nacked`.", ("acked", "nacked", "expired"))
DECISION: Final = Label("decision", "What the guard did with a group's weight.", DECISIONS)
LIMIT: Final = Label(
    "limit",
    "The limit, by the name of its option.",
    ("buffer-bytes", "max-ack-pending", "max-row-bytes"),
)
STATUS: Final = Label("status", "No token that is known, or one of other roles.", ("401", "403"))
IDENTITY: Final = (
    Label("id", "The `--id`."),
    Label("topic", "The `--topic`."),
    Label("worker", "The worker's name, another one after each start."),
    Label("version", "Of fanout."),
)

# Messages ------------------------------------------------------------------------------------------------------------

LAG: Final = gauge(
    "fanout_lag",
    "messages",
    "Messages of this worker's partitions that are not settled, in memory or still in Kafka.",
    "More comes in than is settled: more clients, or faster ones. Offsets that were not fetched yet count as "
    "messages. With broadcast it begins at the lowest floor of all groups.",
)
OLDEST_UNSETTLED_AGE: Final = gauge(
    "fanout_oldest_unsettled_age_seconds",
    "seconds",
    "Age of the oldest unsettled message held here, by its own timestamp.",
    "A message waits for a client, or comes back again and again: `GET /v1/leases` says who has had what for how "
    "long. What is still in Kafka, or delayed for long, is not held: look at `fanout_lag` too.",
)
WAITING_MESSAGES: Final = gauge(
    "fanout_waiting_messages",
    "messages",
    "Messages not handed out yet: held here or still in Kafka.",
    "Clients are too few or too slow.",
)
IN_FLIGHT: Final = gauge(
    "fanout_in_flight",
    "messages",
    "Messages under a live lease.",
    "Clients have much work; where `fanout_expired_total` rises with it, more than they can do in time.",
)
BLOCKED: Final = gauge(
    "fanout_blocked",
    "messages",
    "Messages held here that wait until an earlier one of their key is settled.",
    "With `--order key` a few keys have most of the messages, or one message of such a key is not settled.",
)
DELAYED: Final = gauge(
    "fanout_delayed",
    "messages",
    "Messages that wait for their time after a nack, in memory or not.",
    "Clients fail many messages: their reasons are in what they nack, and in their logs.",
)
DELIVERY_AGE: Final = histogram(
    "fanout_delivery_age_seconds",
    "seconds",
    "Age of messages, by their own timestamps, when they were first handed out; those of one answer as the oldest.",
    "What clients see late: they are too few, or the worker could not hand out for a while. After a time without "
    "clients, or a seek back, it is high until the old messages are done.",
    (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600),
)
DELIVERIES: Final = counter(
    "fanout_deliveries_total",
    "messages",
    "Messages handed out, redeliveries included.",
    "Work goes on.",
)
REDELIVERIES: Final = counter(
    "fanout_redeliveries_total",
    "messages",
    "Messages handed out that a delivery of had ended badly before.",
    "Work is done more than once: see whether deliveries end by nacks or by their time.",
)
SETTLED: Final = counter(
    "fanout_settled_total",
    "messages",
    "Messages settled, by how: acked, late (acked after its lease), rejected or dead-lettered.",
    "`rejected` and `dead-lettered` are parked, or in the dead-letter topic: somebody has to look at them. `late` "
    "means that leases are too short for the work (`ack_wait_ms`, `extend`).",
    (SETTLED_HOW,),
)
NACKED: Final = counter(
    "fanout_nacked_total",
    "messages",
    "Messages nacked.",
    "Clients cannot do their work: something that they need is down, or a new version of them is broken.",
)
EXPIRED: Final = counter(
    "fanout_expired_total",
    "messages",
    "Leases that ended by their time.",
    "Clients die, hang, or take longer than their leases: give them fewer messages at once, or longer leases.",
)
LOST_TO_RETENTION: Final = counter(
    "fanout_lost_to_retention_total",
    "messages",
    "Messages deleted from the log before anyone settled them.",
    "They are lost. Raise the topic's retention, and see why they were not settled in time.",
)

# Partitions ----------------------------------------------------------------------------------------------------------

TOPIC_PARTITIONS: Final = gauge(
    "fanout_topic_partitions",
    "partitions",
    "Partitions that the topic has, as far as this worker knows.",
    "",
)
OWNED_PARTITIONS: Final = gauge(
    "fanout_owned_partitions",
    "partitions",
    "Partitions that this worker serves; none while a rebalance is under way.",
    "Low is what matters: where all workers together have fewer than the topic, some messages are with nobody.",
)
PARTITION_LAG: Final = gauge(
    "fanout_partition_lag",
    "messages",
    "The same as fanout_lag, of one partition.",
    "One partition that is far behind the others gets too many of the keys, or an old message holds it up.",
    (PARTITION,),
)
PARTITION_OLDEST_UNSETTLED_AGE: Final = gauge(
    "fanout_partition_oldest_unsettled_age_seconds",
    "seconds",
    "The same as fanout_oldest_unsettled_age_seconds, of one partition.",
    "Says in which partition the old message is; `GET /v1/partitions` has its floor, which is its offset.",
    (PARTITION,),
)
PARTITION_SETTLED_ABOVE_FLOOR: Final = gauge(
    "fanout_partition_settled_above_floor",
    "messages",
    "Messages settled above the lowest unsettled one of a partition.",
    "One unsettled message holds up what can be committed to Kafka. Nothing is lost or done twice by that, but "
    "Kafka's own tools show the lag from there on.",
    (PARTITION,),
)
INTAKE_FULL: Final = gauge(
    "fanout_intake_full",
    "partitions",
    "Partitions of which a limit, named by its option, lets no more be fetched.",
    "So many messages are held that no more are fetched. That is as it should be where clients are slow; where "
    "messages are delayed or blocked, others behind them wait for nothing: raise the limit.",
    (LIMIT,),
)
BUFFER_BYTES: Final = gauge(
    "fanout_buffer_bytes",
    "bytes",
    "Bytes of the messages held, buffered and leased.",
    "Near `--buffer-bytes` fetching stops.",
)

# Groups --------------------------------------------------------------------------------------------------------------

GROUP_WEIGHT: Final = gauge(
    "fanout_group_weight",
    "shares",
    "Weight of a group; not set for one without.",
    "As it was set, or as steps have raised it.",
    (GROUP,),
)
GROUP_DELIVERIES: Final = counter(
    "fanout_group_deliveries_total",
    "messages",
    "Messages handed out, by group; of those with a weight or a ledger of their own.",
    "Work goes on in that group.",
    (GROUP,),
)
GROUP_ENDED: Final = counter(
    "fanout_group_ended_total",
    "messages",
    "Deliveries to a group that ended, by how: acked, nacked (or rejected), expired.",
    "`nacked` and `expired` of one group alone: the version that its clients run fails.",
    (GROUP, ENDED_HOW),
)
GROUP_ACK: Final = histogram(
    "fanout_group_ack_seconds",
    "seconds",
    "Time from the hand-out of a message to its ack, by group; up to 5 % too high.",
    "The work takes long. Near the leases' length (`--ack-wait`) deliveries expire before they are acked.",
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    (GROUP,),
)
GROUP_LAG: Final = gauge(
    "fanout_group_lag",
    "messages",
    "With broadcast: messages of this worker's partitions that a group has not settled.",
    "That group is behind. It holds up all groups once it fills `--max-ack-pending`: more clients for it, or let "
    "them leave, and it is forgotten after `--client-ttl`.",
    (GROUP,),
)
GROUP_OLDEST_UNSETTLED_AGE: Final = gauge(
    "fanout_group_oldest_unsettled_age_seconds",
    "seconds",
    "With broadcast: age of the oldest message held here that a group has not settled, by its own timestamp.",
    "As `fanout_oldest_unsettled_age_seconds`, of that group.",
    (GROUP,),
)
GROUP_HELD: Final = gauge(
    "fanout_group_held",
    "1 or 0",
    "1 for a group that this worker has taken out by itself while nobody leads.",
    "The group fails, and there is no leader to decide for all: see to both.",
    (GROUP,),
)
CANARY_DECISIONS: Final = counter(
    "fanout_canary_decisions_total",
    "decisions",
    "What this worker, leading, has decided of groups: rolled back, raised, complete.",
    "`rolled back`: the guard has taken a failing group out; `GET /v1/canary` has the reason with its figures.",
    (DECISION,),
)

# Clients -------------------------------------------------------------------------------------------------------------

CLIENTS: Final = gauge(
    "fanout_clients",
    "clients",
    "Clients alive.",
    "Low is what matters: without any, nothing is fetched. One that asks several workers counts at each.",
)
WAITING_PULLS: Final = gauge(
    "fanout_waiting_pulls",
    "pulls",
    "Pulls that wait for a message.",
    "Clients have nothing to do. Further pulls are answered 429 from `--max-waiting` on.",
)
RELAYED: Final = counter(
    "fanout_relayed_total",
    "messages",
    "Messages that other workers have handed out to clients of this one.",
    "Clients ask at other workers than the owners; it costs a hop each. `--routing redirect` sends them there.",
)
RETURNED: Final = counter(
    "fanout_returned_total",
    "messages",
    "Messages that other workers handed out to clients of this one that needed them no more.",
    "Clients leave while they wait, or are served by two workers at once; the messages go to others at once.",
)
REFUSED: Final = counter(
    "fanout_refused_total",
    "requests",
    "Requests refused by their token, by status: 401 (none of ours) or 403 (its roles).",
    "A client was forgotten when tokens were changed, has another role than it needs, or somebody tries.",
    (STATUS,),
)

# Ledgers -------------------------------------------------------------------------------------------------------------

COMMIT_SECONDS: Final = histogram(
    "fanout_commit_seconds",
    "seconds",
    "Time of one write of ledgers, until Kafka acknowledged it.",
    "Kafka is slow, and so is every durable settle: look at the brokers.",
    (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
COMMIT_FAILURES: Final = counter(
    "fanout_commit_failures_total",
    "writes",
    "Writes of ledgers that Kafka has not acknowledged, each tried again.",
    "Durable settles are answered `retry` meanwhile. The log has Kafka's reason: brokers away, fewer in sync than "
    "`min.insync.replicas`, a right taken away, or `max.message.bytes` lowered.",
)
LEDGER_ROW_BYTES: Final = gauge(
    "fanout_ledger_row_bytes",
    "bytes",
    "Size of the largest ledger row, when it was written last.",
    "Near `--max-row-bytes` fetching of the partition stops: very many gaps, for one old message that is not "
    "settled. `GET /v1/leases` says who has it.",
)

# The cluster ---------------------------------------------------------------------------------------------------------

INFO: Final = gauge(
    "fanout_info",
    "always 1",
    "Which worker this is.",
    "",
    labels=IDENTITY,
)
DEGRADED: Final = gauge(
    "fanout_degraded",
    "reasons",
    "Reasons for which this worker does not do all that it could, as its status has them.",
    "`degraded` in `GET /v1/status` says them in words. One of a few seconds is a rebalance.",
)
PAUSED: Final = gauge(
    "fanout_paused",
    "1 or 0",
    "1 while an operator's pause lasts.",
    "Nothing is handed out until `POST /v1/resume`.",
)
WORKERS: Final = gauge(
    "fanout_workers",
    "workers",
    "Workers whose heartbeats are heard here, this one included.",
    "Fewer than there are: this worker or those that are missing cannot write to Kafka, or read from it.",
)
PEERS: Final = gauge(
    "fanout_peers",
    "workers",
    "Other workers that this one is connected to.",
    "Fewer than `fanout_workers` less one: some cannot be reached at their `--advertise`.",
)
LEADING: Final = gauge(
    "fanout_leading",
    "1 or 0",
    "1 while this worker may act as the leader.",
    "It is 1 at one worker. At none for longer than a change takes: weights cannot be changed, guards stand still.",
)
LEADER_EPOCH: Final = gauge(
    "fanout_leader_epoch",
    "epochs",
    "Highest epoch of a leader that this worker has heard of.",
    "It grows with each change. Different at workers for long: some do not hear the leader.",
)
LEADER_CHANGES: Final = counter(
    "fanout_leader_changes_total",
    "changes",
    "How often this worker has followed another leader than before.",
    "Workers are restarted, or ZooKeeper or Kafka answers too slowly for `--leader-lease` and `--leader-timeout`.",
)
BOARD_DROPPED: Final = counter(
    "fanout_board_dropped_total",
    "records",
    "Records on the board that nobody with our lease keys has written, left out.",
    "Workers have different `--lease-key-file`s, or somebody else writes to the board.",
)

# The process ---------------------------------------------------------------------------------------------------------

TASKS: Final = gauge(
    "fanout_tasks",
    "tasks",
    "Tasks of the event loop; with as many connections as before there are as many as before.",
    "Something leaks, if there are not as many more connections (`process_open_fds`).",
)
PROCESS: Final = (
    gauge("process_virtual_memory_bytes", "bytes", "Virtual memory size in bytes.", ""),
    gauge(
        "process_resident_memory_bytes",
        "bytes",
        "Resident memory size in bytes.",
        "It grows with the messages held (`fanout_buffer_bytes`); what grows without them is a leak.",
    ),
    gauge(
        "process_start_time_seconds",
        "seconds since 1970",
        "Start time of the process since unix epoch in seconds.",
        "A recent one again and again: something ends the worker, and its last line on stderr says what.",
    ),
    counter(
        "process_cpu_seconds_total",
        "seconds",
        "Total user and system CPU time spent in seconds.",
        "At nearly 1 a second the worker does all that it can: start another one.",
    ),
    gauge(
        "process_open_fds",
        "files",
        "Number of open file descriptors.",
        "Near `process_max_fds` connections are refused.",
    ),
    gauge("process_max_fds", "files", "Maximum number of open file descriptors.", ""),
)

#: All of them, in the order of this file.
CATALOGUE: Final = (*(one for one in list(globals().values()) if isinstance(one, Metric)), *PROCESS)
