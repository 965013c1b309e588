"""The worker of `faust_agent`, in a process of its own; writes a report as JSON.

python -m benchmarks.peers.faust_client BROKERS TOPIC MESSAGES PIDS FOLDER REPORT
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from mode import loop

# What `faust --loop uvloop` does, before Faust is imported; a sixth more messages a second than with asyncio's loop.
loop.use("uvloop")

import faust  # noqa: E402

from benchmarks.peers.arrivals import Arrivals  # noqa: E402


def main() -> None:
    brokers, topic_name, messages, pids, folder, report_file = sys.argv[1:]
    arrivals = Arrivals(pids)
    app = faust.App(
        f"bench-{time.time_ns()}",
        broker=f"kafka://{brokers}",
        datadir=folder,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        value_serializer="raw",
    )
    topic = app.topic(topic_name, value_serializer="raw")

    async def take(stream: faust.Stream[bytes]) -> None:
        async for value in stream:
            arrivals.got((value,))
            if len(arrivals) == int(messages):
                await app.commit(topics={topic_name})
                arrivals.acked()
                report = arrivals.report()
                Path(report_file).write_text(json.dumps(report and report.to_json()))  # noqa: ASYNC240
                # App.stop waits for this very loop to take its next message, for 10 s and more.
                os._exit(0)

    app.agent(topic)(take)
    faust.Worker(app, loglevel="ERROR", redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
