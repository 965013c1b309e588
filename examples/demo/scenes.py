"""What the demo shows: the rotation, a message that nobody acks, and a worker that is killed."""

from __future__ import annotations

import asyncio
import itertools
import string
from collections.abc import Sequence
from time import monotonic

import aiohttp
from aiokafka import AIOKafkaProducer

from examples.client import Client, Message
from examples.demo.cluster import Cluster, View
from examples.demo.servers import TOPIC, Worker, listed, say
from examples.demo.tally import Tally

#: Messages that go round before anything happens, for each client.
ROUNDS = 3
#: Seconds of a lease that is let go by.
ACK_WAIT = 2.0
#: Seconds between two messages while a worker is killed, and that a client works on what it got.
EVERY = 0.04
WORK = 0.3
#: Seconds of work before a worker is killed, and after others have its partitions.
CALM = 2
#: Seconds that a pull waits: the most there is, so that none ends empty before the demo gives up.
LONGEST = 50.0
#: Seconds between two looks at who leads and what was handed out.
LOOK = 0.05
#: Seconds until the demo gives up. The longest that it waits for are the sessions of the one killed (6 s).
PATIENCE = 40.0


class Scenes:
    """The clients, one at each worker but two at least, and what happens to them."""

    def __init__(self, http: aiohttp.ClientSession, cluster: Cluster, producer: AIOKafkaProducer, view: View) -> None:
        self._cluster = cluster
        self._producer = producer
        self._view = view
        self._tally = Tally()
        self._named = {worker.address: worker for worker in cluster.workers}
        addresses = list(self._named)
        self._clients: list[Client] = []
        for number in range(max(2, len(addresses))):
            first = number % len(addresses)
            everywhere = addresses[first:] + addresses[:first]
            self._clients.append(Client(http, string.ascii_uppercase[number], everywhere, self._say_moved, PATIENCE))
        #: Client -> its pull that waits, and when that was sent.
        self._pulls: dict[Client, tuple[asyncio.Task[list[Message]], float]] = {}

    # What each of them does ------------------------------------------------------------------------------------------

    def _pull(self, client: Client, most: int = 1, ack_wait: float = 30.0) -> None:
        pull = client.pull(most=most, wait=LONGEST, ack_wait=ack_wait)
        self._pulls[client] = (asyncio.create_task(pull), monotonic())

    async def _got(self, client: Client) -> list[Message]:
        """What its pull brings."""
        task, asked = self._pulls[client]
        messages = await task
        self._tally.handed_out(messages, asked)
        return messages

    async def _ack(self, client: Client, messages: list[Message]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                acked = await client.ack(messages)
        except TimeoutError:
            raise SystemExit(f"an ack was not taken within {PATIENCE:.0f} s") from None
        self._tally.acked(acked, monotonic())

    async def _write(self, text: str, partition: int) -> None:
        sent = monotonic()
        written = await self._producer.send_and_wait(TOPIC, text.encode(), partition=partition)
        self._tally.wrote((written.partition, written.offset), sent)

    def _say_moved(self, client: Client, gone: str) -> None:
        say(f"  {client.name} has no answer from {self._named[gone]}, and goes on at {self._named[client.worker]}")

    # One message at a time -------------------------------------------------------------------------------------------

    async def in_turn(self) -> None:
        leader = self._view.leader
        assert leader is not None
        partitions = self._view.partitions(leader)
        say(f"\nmessages of {leader}'s partitions go to the clients in turn, and are acked:")
        for client in self._clients:
            self._pull(client, ack_wait=ACK_WAIT)
        for number in range(ROUNDS * len(self._clients)):
            await self._write(f"message {number + 1}", partitions[number % len(partitions)])
            client, message = await self._whose_turn()
            await self._ack(client, [message])
            self._pull(client, ack_wait=ACK_WAIT)

    async def never_acked(self) -> None:
        say(f"\nnow a client that does not ack (its lease lasts {ACK_WAIT:.0f} s):")
        await self._write("one more", next(iter(self._view.owners)))
        silent, first = await self._whose_turn()
        began = monotonic()
        self._pulls.pop(silent)
        other, second = await self._whose_turn()
        if second.place != first.place:
            raise SystemExit("the message did not come again")
        say(f"  {silent.name} kept silent, so {other.name} got it {monotonic() - began:.1f} s later")
        await self._ack(other, [second])
        for client in (silent, other):
            self._pull(client)

    async def _whose_turn(self) -> tuple[Client, Message]:
        """The client that gets the next message."""
        pulls = {task: client for client, (task, _) in self._pulls.items()}
        done, _ = await asyncio.wait(pulls, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise SystemExit(f"a message was lost: no client got it within {PATIENCE:.0f} s")
        client = pulls[done.pop()]
        (message,) = await self._got(client)
        at = f" at {self._named[client.worker]}" if len(self._named) > 1 else ""
        place = f"partition {message.partition}, offset {message.offset}, delivery {message.delivery_count}"
        say(f"  {client.name}{at} got {message.value!r:14} {place}")
        return client, message

    # A worker is killed ----------------------------------------------------------------------------------------------

    async def take_over(self) -> None:
        victim = self._view.leader
        assert victim is not None
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            say(f"\n{1 / EVERY:.0f} messages a second; how many are acked in each second, by partition:\n"
                + _row("", sorted(self._view.owners)))  # fmt: skip
            writing = group.create_task(self._write_on(enough))
            on_and_on = [group.create_task(self._work(client, group)) for client in self._clients]
            on_and_on.append(group.create_task(self._show_seconds()))
            await asyncio.sleep(CALM + LOOK)
            lost = self._view.partitions(victim)
            say(f"  kill -9 {victim}: it leads, and owns partitions {listed(lost)}")
            victim.kill9()
            await self._taken_over(victim, lost, monotonic())
            await asyncio.sleep(CALM)
            enough.set()
            await writing
            await self._nothing_missing()
            for task in on_and_on:
                task.cancel()

    async def _write_on(self, enough: asyncio.Event) -> None:
        number = 0
        while not enough.is_set():
            number += 1
            await self._write(f"message {number}", number % len(self._view.owners))
            await asyncio.sleep(EVERY)

    async def _work(self, client: Client, group: asyncio.TaskGroup) -> None:
        """Ask for more while it works on what it got: an ack of what moves takes its time."""
        while True:
            messages = await self._got(client)
            group.create_task(self._work_on(client, messages))
            self._pull(client, most=10)

    async def _work_on(self, client: Client, messages: list[Message]) -> None:
        await asyncio.sleep(WORK)
        await self._ack(client, messages)

    async def _show_seconds(self) -> None:
        begin = monotonic()
        for second in itertools.count(1):
            await asyncio.sleep(begin + second - monotonic())
            acked = self._tally.acked_between(begin + second - 1, begin + second)
            cells = [acked[partition] or "-" for partition in sorted(self._view.owners)]
            say(_row(f"{second - CALM:+d} s" if second > CALM else "", cells))

    async def _taken_over(self, victim: Worker, lost: list[int], killed: float) -> None:
        """Wait until another one leads, and others hand out each of these partitions; say so when it happens."""
        left: set[int] = set(lost)
        led = False
        while left or not led:
            await asyncio.sleep(LOOK)
            took = monotonic() - killed
            view = await self._cluster.look()
            if not led and view.leader not in (None, victim):
                led = True
                say(f"  {took:.1f} s after the kill {view.leader} leads, epoch {view.epoch} after {self._view.epoch}")
            for partition in sorted(left):
                owner = view.owners.get(partition, victim)
                if owner is not victim and self._tally.is_served(partition, killed):
                    left.remove(partition)
                    say(f"  {took:.1f} s after the kill {owner} hands out partition {partition}")
            if took > PATIENCE:
                raise SystemExit(f"{victim} was not replaced within {PATIENCE:.0f} s: partitions {listed(lost)}")

    # The end ---------------------------------------------------------------------------------------------------------

    async def _nothing_missing(self) -> None:
        """Wait for what is still with clients or comes again.

        Raises:
            SystemExit: some of it has not come in time; the text names it.
        """
        for _ in range(int(PATIENCE / LOOK)):
            if not self._tally.missing:
                return
            await asyncio.sleep(LOOK)
        raise SystemExit(f"{self._tally}\n{self._tally.wrong()}")

    async def nothing_left(self) -> None:
        """Say what became of every message.

        Raises:
            SystemExit: one is missing, or came after its ack had been answered.
        """
        for task, _ in self._pulls.values():
            task.cancel()
        status = await self._cluster.ask("/v1/status")
        say(f"\n{self._tally}")
        say(f"left over: {status['waiting_messages']} waiting, {status['in_flight']} in flight")
        wrong = self._tally.wrong()
        if wrong:
            raise SystemExit(wrong)


def _row(title: str, cells: Sequence[object]) -> str:
    return f"  {title:>5}" + "".join(f"{cell:>5}" for cell in cells)
