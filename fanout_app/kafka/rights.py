"""Whether the broker lets this user read the topic as a member of the group, found out before the worker waits for it.

Any answer but a refusal will do here: what else can be wrong passes, or is told of where it matters.
"""

from __future__ import annotations

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest

from fanout_app.core.errors import StartError

#: Beyond the end of every log: a fetch from there brings no record.
_NOWHERE = (1 << 62) - 1


async def check_read(admin: AIOKafkaAdminClient, topic: str, leader: int, brokers: str) -> None:
    """Ask this broker, which leads partition 0, for records that do not exist.

    Raises:
        StartError: the broker refuses to let the topic be read.
    """
    request = FetchRequest(0, 0, 1, 0, [(topic, [(0, _NOWHERE, 1)])])
    try:
        response = await admin._send_request_to_node(leader, request)
    except (KafkaError, TimeoutError):
        return
    codes = {partition[1] for _, partitions in response.topics for partition in partitions}
    if TopicAuthorizationFailedError.errno in codes:
        raise StartError(
            f"topic {topic} may not be read by this user; allow it with: kafka-acls.sh --bootstrap-server "
            f"{brokers} --add --allow-principal User:NAME --operation Read --operation Describe --topic {topic}"
        )


async def check_group(admin: AIOKafkaAdminClient, group: str, brokers: str) -> None:
    """Send a heartbeat of a member that does not exist: it needs the same right as a real one, and changes nothing.

    Raises:
        StartError: the broker refuses; a consumer would go on asking for ever.
    """
    try:
        coordinator = await admin.find_coordinator(group)
        response = await admin._send_request_to_node(coordinator, HeartbeatRequest(group, 0, ""))
    except GroupAuthorizationFailedError:
        allowed = False
    except (KafkaError, TimeoutError):
        return
    else:
        allowed = response.error_code != GroupAuthorizationFailedError.errno
    if not allowed:
        raise StartError(
            f"this user may not be in the consumer group {group}; allow it with: kafka-acls.sh --bootstrap-server "
            f"{brokers} --add --allow-principal User:NAME --operation Read --operation Describe --group {group}"
        )
