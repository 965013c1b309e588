"""The worker of ``fanout --memory``: the runtime and the views as always, over a topic in this process."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from time import monotonic
from typing import Final

from aiohttp import web

from fanout_app import canary
from fanout_app.canary import Canary
from fanout_app.core.roster import Roster
from fanout_app.departure import Departure
from fanout_app.heartbeat import heartbeat_of
from fanout_app.key_file import KeyFile
from fanout_app.leading import KEY, Leading
from fanout_app.lease_keys import LeaseKeys
from fanout_app.limits import limits_of
from fanout_app.memory.alone import Alone, MemoryElection, MemorySwitch
from fanout_app.memory.stores import MemoryParked, MemoryRows
from fanout_app.memory.topic import MemoryTopic
from fanout_app.memory.views import ProduceViews
from fanout_app.metrics import Metrics
from fanout_app.options import Options
from fanout_app.parked_of_groups import ParkedOfGroups
from fanout_app.runtime import Runtime
from fanout_app.tasks import Tasks
from fanout_app.tls import TlsFiles
from fanout_app.tokens_file import TokensFile
from fanout_app.web import listening
from fanout_app.web.access import Access, Gate
from fanout_app.web.open_files import room_for
from fanout_app.web.rendering import Renderer
from fanout_app.web.runner import ProblemRunner
from fanout_app.web.tokens import TokenCodec
from fanout_app.web.views import Row, install
from fanout_app.worker_name import worker_name

logger = logging.getLogger("fanout.memory")

#: Seconds between two looks at the log, and between two signs of life, as with Kafka.
_EVERY: Final = 0.5


class MemoryWorker:
    """All of it. Made inside the loop that it runs in."""

    def __init__(self, options: Options, partitions: int) -> None:
        self._options = options
        self._ended = asyncio.Event()
        self._fault: BaseException | None = None
        self._tasks = Tasks(self._on_fault)
        self._topic = MemoryTopic(partitions)
        self._parked = MemoryParked(self._topic, options.id, options.topic)
        self._runtime = Runtime(options, worker=worker_name(), limits=limits_of(options))
        self._runtime.topic_has(partitions)
        self._metrics = Metrics(self._runtime)
        keys = KeyFile(options.lease_key_file).read() if options.lease_key_file else [secrets.token_bytes(32)]
        self._codec = TokenCodec(LeaseKeys(keys), options.id, options.topic)
        self._group = Alone()
        self._address = ""
        self._runner: ProblemRunner | None = None
        self._tls: TlsFiles | None = None
        self._leading = self._runtime.leading = Leading(
            options, self._runtime.worker, MemoryElection(), self, self._on_fault
        )
        self._canary = self._runtime.canary = Canary(
            options.id, options.topic, self._leading, self.write, apply=self._runtime.share, on_fault=self._on_fault
        )
        self._leading.on_heard = lambda leader, me: self._canary.hear_leader(leader, me=me)

    # The board, which is heard at once -------------------------------------------------------------------------------

    @property
    def roster(self) -> Roster:
        return self._runtime.roster

    @property
    def last_acknowledged(self) -> float:
        return monotonic()

    async def write(self, key: str, value: bytes) -> None:
        if key == KEY:
            self._leading.hear_leader(value, monotonic(), live=True)
        elif key == canary.KEY:
            self._canary.hear(value)

    # Life ------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until SIGTERM or SIGINT. Raises what a part of it has failed with."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._ended.set)
        self._connect()
        try:
            await self._serve()
            await self._start()
            await self._ended.wait()
            if self._fault is None:
                await Departure(self._runtime, self._group, drain=self._options.drain).go()
        finally:
            await self._leading.stop()
            await self._tasks.stop()
            await self._canary.stop()
            await self._runtime.stop()
            if self._runner is not None:
                await self._runner.cleanup()
        if self._fault is not None:
            raise self._fault

    def _on_fault(self, error: BaseException) -> None:
        self._fault = self._fault or error
        self._ended.set()

    async def _serve(self) -> None:
        options = self._options
        tokens = TokensFile(options.tokens_file) if options.tokens_file is not None else None
        if tokens is not None:
            tokens.read()
        self._tls = TlsFiles.of(options)
        if self._tls is not None:
            self._tls.read()
            self._runtime.certificate_trouble = self._tls.trouble
        listening.check(options.bind, insecure=options.insecure, tokens=tokens is not None)
        app = web.Application(client_max_size=int(options.max_body_size))
        room = room_for(options.max_waiting, options.max_connections, options.max_streams)
        gate = Gate(tokens.in_use if tokens is not None else None, self._metrics.request_refused)
        produce = ProduceViews(self._topic)
        install(
            app,
            self._runtime,
            self._codec,
            render_metrics=self._metrics.render,
            gate=gate,
            max_waiting=room.pulls,
            max_streams=options.max_streams,
            ack_wait=options.ack_wait,
            broadcast=options.delivery == "broadcast",
            names=listening.names_of(options),
            more=[Row("POST", "/v1/produce", produce.produce, Access.ADMIN)],
        )
        self._runner = listening.new_runner(app, options)
        self._runner.allow(room.connections)
        await self._runner.setup()
        listener = listening.listen(options.bind)
        self._address = listening.url_of(listener, options.scheme)
        self._runtime.insecure = tokens is None and listening.exposed(options.bind)
        await listening.new_site(self._runner, listener, self._tls).start()
        logger.info("serving a topic in memory at %s: all of it is gone when this process ends", self._address)

    def _connect(self) -> None:
        options = self._options
        of_groups = options.delivery == "broadcast"
        self._runtime.parked = ParkedOfGroups(self._parked, self._runtime.groups_there) if of_groups else self._parked
        self._runtime.connect(
            source=self._topic,
            starts=self._topic,
            terms=self._group,
            store=MemoryRows(options.id, options.topic),
            bodies=self._topic,
            dead_letters=self._parked,
            switch=MemorySwitch(),
            render=Renderer(self._runtime, self._codec),
            on_fault=self._on_fault,
        )
        self._runtime.commit.on_commit_seconds = self._metrics.commit_seconds
        self._runtime.commit.on_commit_failed = self._metrics.commit_failed

    async def _start(self) -> None:
        numbers = set(range(len(self._topic.logs)))
        self._runtime.suspend()
        self._runtime.assigned(numbers, 1)
        self._beat()
        self._canary.caught_up()
        self._leading.start()
        self._canary.start()
        self._tasks.start(self._topic.feed(self._runtime), "feed")
        self._tasks.start(self._keep(), "keep")
        await self._runtime.start(numbers)

    async def _keep(self) -> None:
        while True:
            self._beat()
            await self._runtime.watch_log()
            if self._tls is not None:
                await asyncio.to_thread(self._tls.look)
            await asyncio.sleep(_EVERY)

    def _beat(self) -> None:
        now = monotonic()
        heartbeat = heartbeat_of(self._runtime, self._options, self._address, self._leading.epochs(), now)
        self._runtime.roster.heard(now, heartbeat)
        self._leading.hear_worker(heartbeat, now)


def run(options: Options, partitions: int) -> None:
    """Serve until the process is asked to end.

    Raises:
        FanoutError: it cannot start, as it is configured.
    """

    async def worker() -> None:
        await MemoryWorker(options, partitions).run()

    asyncio.run(worker())
