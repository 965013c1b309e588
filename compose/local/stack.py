"""The commands of bin/stack: real Kafka and ZooKeeper servers on this machine's loopback, from jars."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from typing import Any

import lifecycle
import processes
import servers
import state
from lifecycle import StackError
from ports import Ports
from state import Place, Server, Stack


def up(args: argparse.Namespace) -> None:
    began = time.monotonic()
    with state.locked(args.name):
        stack = state.load(args.name)
        if stack is None:
            stack = _up_anew(args)
            note = f"stack {stack.name} is up after {time.monotonic() - began:.1f} s"
        else:
            note = _up_again(stack, args)
    print(note, file=sys.stderr)
    _show(stack, as_json=args.json)


def _up_anew(args: argparse.Namespace) -> Stack:
    counts = {"zookeeper": _or(args.zookeeper, 1), "kafka": _or(args.kafka, 1)}
    chosen = {"zookeeper": args.zookeeper_port, "kafka": args.kafka_port}
    options = {"zookeeper": dict(args.zookeeper_option), "kafka": dict(args.broker_option)}
    for kind, count in counts.items():
        if len(chosen[kind]) > count:
            raise StackError(f"{len(chosen[kind])} ports for {count} {kind}")
    places = dict(args.place)
    if strangers := places.keys() - {
        f"{kind}-{node}" for kind, count in counts.items() for node in range(1, count + 1)
    }:
        raise StackError(f"no {', '.join(sorted(strangers))} is to be there")
    with Ports() as ports:
        # Two stacks that start at once must not read each other's ports before they are written down.
        with state.locked(".ports"):
            ports.avoid(state.ports_in_use())
            stack = lifecycle.plan(args.name, counts, chosen, options, places, ports)
            stack.forget()  # what a removal cut short may have left
            stack.save()
        try:
            lifecycle.launch(stack, stack.servers)
            lifecycle.wait_until_ready(stack, stack.servers, together=True)
        except BaseException:
            lifecycle.end(stack)
            raise
    return stack


def _up_again(stack: Stack, args: argparse.Namespace) -> str:
    """Servers of it that were killed come back; what was asked for must be what it is."""
    for kind, count in (("kafka", args.kafka), ("zookeeper", args.zookeeper)):
        if count not in (None, len(stack.of_kind(kind))):
            raise StackError(
                f"stack {stack.name} is up with {len(stack.of_kind(kind))} {kind}: "
                f"bin/stack down --name {stack.name} first"
            )
    for name, place in args.place:
        server = _server(stack, name)
        if place != (server.host, server.netns):
            raise StackError(
                f"{name} is at {server.host}, not at {place.host}: bin/stack down --name {stack.name} first"
            )
    for server in stack.servers:
        _check_not_paused(stack, server)
    dead = [server for server in stack.servers if not server.alive]
    lifecycle.launch(stack, dead)
    lifecycle.wait_until_ready(stack, stack.servers, together=True)
    if dead:
        return f"stack {stack.name} is up; started again: {', '.join(server.name for server in dead)}"
    return f"stack {stack.name} is up already"


def down(args: argparse.Namespace) -> None:
    for name in state.names() if args.all else [args.name]:
        with state.locked(name):
            stack = state.load(name)
            if stack is None:
                print(f"stack {name} is not up", file=sys.stderr)
                continue
            lifecycle.end(stack)
            print(f"stack {name} is down", file=sys.stderr)


def status(args: argparse.Namespace) -> None:
    known = [stack for name in state.names() if (stack := state.load(name))]
    if args.json:
        print(json.dumps([_description(stack) for stack in known]))
    elif not known:
        print("no stack is up")
    else:
        for stack in known:
            _show(stack, as_json=False)


def logs(args: argparse.Namespace) -> None:
    stack = _known(args.name)
    wanted = [_server(stack, args.server)] if args.server else stack.servers
    files = [str(stack.log_of(server)) for server in wanted]
    sys.stdout.flush()
    os.execvp("tail", ["tail", "-n", str(args.lines), *(["-F"] if args.follow else []), *files])


def kill(args: argparse.Namespace) -> None:
    with state.locked(args.name):
        killed = _servers(_known(args.name), args.servers)
        survivors = processes.kill([(server.pid, server.started) for server in killed])
        for server in killed:
            if server.pid in survivors:
                raise StackError(f"{server.name} survived SIGKILL")


def pause(args: argparse.Namespace) -> None:
    _signal(args, signal.SIGSTOP)


def resume(args: argparse.Namespace) -> None:
    _signal(args, signal.SIGCONT)


def start(args: argparse.Namespace) -> None:
    with state.locked(args.name):
        stack = _known(args.name)
        wanted = _servers(stack, args.servers)
        for server in wanted:
            _check_not_paused(stack, server)
            if server.alive:
                print(f"{server.name} runs already", file=sys.stderr)
        lifecycle.launch(stack, [server for server in wanted if not server.alive])
        lifecycle.wait_until_ready(stack, wanted, together=False)


def run(args: argparse.Namespace) -> None:
    """One server in the foreground, its data kept for the next run at the same port."""
    with Ports() as ports:
        ports.avoid({*state.ports_in_use(), args.port})
        inner = [ports.pick() for _ in range(lifecycle.INNER_PORTS[args.kind])]
    server = Server(args.kind, 1, args.port, inner, dict(args.option))
    folder = state.LOCAL / "run" / f"{args.kind}-{args.port}"
    formatting = servers.prepare(server, [server], folder, lifecycle.new_cluster_id())
    if formatting is not None:
        lifecycle.finish_formatting(server, formatting)
    command = servers.command(server, folder)
    os.execv(command[0], command)


def _signal(args: argparse.Namespace, signum: signal.Signals) -> None:
    for server in _servers(_known(args.name), args.servers):
        if not processes.send(server.pid, server.started, signum):
            raise StackError(f"{server.name} is not running: bin/stack start {server.name} --name {args.name}")


def _check_not_paused(stack: Stack, server: Server) -> None:
    if _state(server) == "paused":
        raise StackError(f"{server.name} is paused: bin/stack resume {server.name} --name {stack.name}")


def _known(name: str) -> Stack:
    stack = state.load(name)
    if stack is None:
        raise StackError(f"stack {name} is not up: bin/stack up --name {name}")
    return stack


def _server(stack: Stack, name: str) -> Server:
    for server in stack.servers:
        if server.name == name:
            return server
    raise StackError(f"no {name} in stack {stack.name}, only {', '.join(server.name for server in stack.servers)}")


def _servers(stack: Stack, names: list[str]) -> list[Server]:
    return [_server(stack, name) for name in names]


def _show(stack: Stack, *, as_json: bool) -> None:
    description = _description(stack)
    if as_json:
        print(json.dumps(description))
        return
    print(f"{stack.name}\n  brokers     {description['brokers']}\n  zookeepers  {description['zookeepers']}")
    for name, server in description["servers"].items():
        print(f"  {name:<12}port {server['port']}  pid {server['pid']}  {server['state']}  {server['memory_mib']} MiB")


def _description(stack: Stack) -> dict[str, Any]:
    return {
        "name": stack.name,
        "brokers": ",".join(server.address for server in stack.of_kind("kafka")),
        "zookeepers": ",".join(server.address for server in stack.of_kind("zookeeper")),
        "servers": {
            server.name: {
                "pid": server.pid,
                "port": server.port,
                "host": server.host,
                "state": _state(server),
                "memory_mib": processes.memory_mib(server.pid) if server.alive else 0,
                "log": str(stack.log_of(server)),
            }
            for server in stack.servers
        },
    }


def _state(server: Server) -> str:
    if not server.alive:
        return "down"
    return "paused" if processes.is_stopped(server.pid) else "up"


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", text):
        raise argparse.ArgumentTypeError(f"not letters, digits, dots, dashes, underscores: {text!r}")
    return text


def _place(text: str) -> tuple[str, Place]:
    server, equals, where = text.partition("=")
    host, _, netns = where.partition(",")
    if not (server and equals and host):
        raise argparse.ArgumentTypeError(f"not SERVER=HOST or SERVER=HOST,NETNS: {text!r}")
    return server, Place(host, netns)


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"not key=value: {text!r}")
    return key, value


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="bin/stack", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", type=_name, default="default", help="which stack (default: %(default)s)")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="one JSON document on stdout")
    of_servers = argparse.ArgumentParser(add_help=False)
    of_servers.add_argument("servers", nargs="+", metavar="SERVER", help="such as kafka-1 or zookeeper-2")

    command = commands.add_parser("up", parents=[named, as_json], help="start a stack and wait until it is ready")
    command.set_defaults(act=up)
    command.add_argument("--kafka", type=int, metavar="N", help="how many brokers (default: 1)")
    command.add_argument("--zookeeper", type=int, metavar="M", help="how many ZooKeeper servers (default: 1)")
    for kind in ("kafka", "zookeeper"):
        command.add_argument(f"--{kind}-port", type=int, nargs="+", action="extend", default=[], metavar="P")
    for kind in ("broker", "zookeeper"):
        command.add_argument(f"--{kind}-option", type=_option, action="append", default=[], metavar="KEY=VALUE")

    command.add_argument(
        "--place",
        type=_place,
        action="append",
        default=[],
        metavar="SERVER=HOST[,NETNS]",
        help="a server's own address instead of the loopback, and the network namespace it is to run in",
    )

    command = commands.add_parser("down", parents=[named], help="end a stack and remove its data")
    command.set_defaults(act=down)
    command.add_argument("--all", action="store_true", help="every stack of this checkout")

    command = commands.add_parser("status", parents=[as_json], help="every stack and its servers")
    command.set_defaults(act=status)

    command = commands.add_parser("logs", parents=[named], help="the end of one server's log, or of all")
    command.set_defaults(act=logs)
    command.add_argument("server", nargs="?", metavar="SERVER")
    command.add_argument("--lines", type=int, default=100)
    command.add_argument("--follow", action="store_true")

    for act, text in (
        (kill, "SIGKILL these servers"),
        (pause, "SIGSTOP these servers"),
        (resume, "SIGCONT these servers"),
        (start, "start killed servers again, with their ports and data, and wait until they are ready"),
    ):
        commands.add_parser(act.__name__, parents=[named, of_servers], help=text).set_defaults(act=act)

    command = commands.add_parser("run", help="one server in the foreground, as for a Procfile")
    command.set_defaults(act=run)
    command.add_argument("kind", choices=("kafka", "zookeeper"))
    command.add_argument("--port", type=int, required=True)
    command.add_argument("--option", type=_option, action="append", default=[], metavar="KEY=VALUE")
    return top


def main() -> int:
    # So that what `up` has started is ended again on this signal too.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    args = parser().parse_args()
    try:
        args.act(args)
    except (StackError, OSError) as error:
        print(f"bin/stack: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
