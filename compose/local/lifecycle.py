"""What happens to a stack's servers: planned, launched, waited for, ended."""

from __future__ import annotations

import base64
import subprocess
import time
import uuid
from collections.abc import Sequence

import probe
import processes
import servers
from ports import Ports
from state import Place, Server, Stack

READY_DEADLINE = 60.0
#: Short, since the data is about to be removed. Brokers that lose their quorum together would take minutes.
DOWN_GRACE = 1.5
POLL = 0.05
INNER_PORTS = {"kafka": 1, "zookeeper": 2}


class StackError(Exception):
    """Something to tell in a line, or with a log's tail, instead of a traceback."""


def plan(
    name: str,
    counts: dict[str, int],
    chosen_ports: dict[str, Sequence[int]],
    options: dict[str, dict[str, str]],
    places: dict[str, Place],
    ports: Ports,
) -> Stack:
    """Ports are free at the loopback; at another place they are not looked for, since it is the server's alone."""
    chosen = {kind: [ports.claim(port) for port in of_kind] for kind, of_kind in chosen_ports.items()}
    stack = Stack(name, new_cluster_id())
    for kind, count in counts.items():
        for node in range(1, count + 1):
            port = chosen[kind][node - 1] if node <= len(chosen[kind]) else ports.pick()
            inner = [ports.pick() for _ in range(INNER_PORTS[kind])]
            server = Server(kind, node, port, inner, options[kind])
            server.host, server.netns = places.get(server.name, Place())
            stack.servers.append(server)
    return stack


def new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def launch(stack: Stack, starting: list[Server], *, archiving: bool = False) -> None:
    """Those that need no formatting start at once, beside the formatting of the others."""
    formatting = []
    try:
        for server in starting:
            folder = stack.folder_of(server)
            tool = servers.prepare(server, stack.of_kind(server.kind), folder, stack.cluster_id)
            if tool is None:
                _start(stack, server, archiving)
            else:
                formatting.append((server, tool))
        for server, tool in formatting:
            finish_formatting(server, tool)
            _start(stack, server, archiving)
    finally:
        for _, tool in formatting:
            tool.kill()


def finish_formatting(server: Server, tool: subprocess.Popen[str]) -> None:
    said, _ = tool.communicate()
    if tool.returncode != 0:
        raise StackError(f"{server.name} could not be formatted:\n{said}")


def _start(stack: Stack, server: Server, archiving: bool) -> None:
    folder = stack.folder_of(server)
    with stack.log_of(server).open("ab") as log:
        process = subprocess.Popen(
            servers.command(server, folder, archiving=archiving),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server.pid = process.pid
    server.started = processes.start_time(process.pid) or 0
    stack.save()  # at once: whatever happens next, `down` finds it


def wait_until_ready(stack: Stack, waiting: list[Server], *, together: bool) -> None:
    """Together: each broker must see all of them take part; else it is enough that it takes part itself."""
    all_brokers = {broker.node for broker in stack.of_kind("kafka")}
    deadline = time.monotonic() + READY_DEADLINE
    waiting = list(waiting)
    while waiting:
        waiting = [server for server in waiting if not is_ready(server, all_brokers if together else {server.node})]
        for server in waiting:
            if not server.alive:
                raise StackError(f"{server.name} ended while it was starting\n{tail(stack, server)}")
            if time.monotonic() > deadline:
                raise StackError(f"{server.name} is not ready after {READY_DEADLINE:.0f} s\n{tail(stack, server)}")
        time.sleep(POLL if waiting else 0)


def is_ready(server: Server, brokers: set[int]) -> bool:
    if server.kind == "zookeeper":
        return probe.zookeeper_serves(server.host, server.port)
    return brokers <= probe.listed_brokers(server.host, server.port)


def tail(stack: Stack, server: Server, lines: int = 40) -> str:
    try:
        return "\n".join(stack.log_of(server).read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"


def end(stack: Stack) -> None:
    running = [(server.pid, server.started) for server in stack.servers if server.alive]
    survivors = processes.end(running, grace=DOWN_GRACE)
    if survivors:
        raise StackError(f"still running after SIGKILL: {survivors}; the data of {stack.name} is kept")
    stack.forget()
