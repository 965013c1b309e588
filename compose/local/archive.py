"""Archives the classes that Kafka and ZooKeeper load, so that a start costs half: ``python3 compose/local/archive.py``.

A stack starts and ends, and each JVM writes down what it had. Where one does not, servers start without.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

import lifecycle
import processes
import servers
import state
from lifecycle import StackError
from ports import Ports

KINDS = ("zookeeper", "kafka")
#: Seconds in which a server is to end and its archive to be written: two or three on a machine at rest.
WRITTEN_WITHIN = 60.0


def make() -> None:
    for kind in KINDS:
        servers.archive(kind).unlink(missing_ok=True)
    with Ports() as ports:
        with state.locked(".ports"):
            ports.avoid(state.ports_in_use())
            counts: dict[str, int] = dict.fromkeys(KINDS, 1)
            chosen: dict[str, Sequence[int]] = {kind: () for kind in KINDS}
            options: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
            stack = lifecycle.plan(f"archive-{os.getpid()}", counts, chosen, options, {}, ports)
            stack.save()
        try:
            lifecycle.launch(stack, stack.servers, archiving=True)
            lifecycle.wait_until_ready(stack, stack.servers, together=True)
            began = time.monotonic()
            processes.end([(server.pid, server.started) for server in stack.servers], grace=WRITTEN_WITHIN)
            if time.monotonic() - began > WRITTEN_WITHIN:
                # A JVM that begins with half an archive crashes.
                raise StackError(f"a server that archives had not ended after {WRITTEN_WITHIN:.0f} s")
            for server in stack.servers:
                _keep(stack, server)
        finally:
            lifecycle.end(stack)


def _keep(stack: state.Stack, server: state.Server) -> None:
    written = servers.fresh_archive(stack.folder_of(server))
    if written.exists():
        written.rename(servers.archive(server.kind))
    else:
        print(f"{server.name} wrote no archive of its classes: servers start without", file=sys.stderr)


if __name__ == "__main__":
    try:
        make()
    except (StackError, OSError) as error:
        sys.exit(f"compose/local/archive.py: {error}")
