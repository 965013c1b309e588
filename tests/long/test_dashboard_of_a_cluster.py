"""The dashboard of three workers under load, while they are restarted, upgraded and lose their leader."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from support.balancer import Balancer
from support.browser import Browser, Page, browsing, program
from support.canary import Shares
from support.clients import Client
from support.earlier import earlier_source
from support.eventually import eventually
from support.kafka import Kafka
from support.load import Load
from support.stack import ROOT, Stack
from support.workers import READY_TOGETHER, Worker, Workers

PARTITIONS = 4
#: A commit whose workers serve the page, and that is whole.
BEFORE = "0189410"
#: Keeps the title of every notice that is ever shown.
WATCH = """(() => {
  window.noticed = new Set();
  const list = document.getElementById('notices');
  const note = () => list.querySelectorAll('strong').forEach((one) => window.noticed.add(one.textContent));
  new MutationObserver(note).observe(list, {subtree: true, childList: true, characterData: true});
})()"""
#: What may be said for a while when a worker goes and comes. The last is of who leaves, and of a partition on its way.
PASSING = {"No word from the worker", "Stopping", "Nobody leads", "Degraded"}


@pytest.fixture
async def browsers(session: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[list[Browser]]:
    """Two, for two pages that are looked at: of the tabs of one only one is, and the others let go."""
    path = program()
    assert path is not None, "apt-get install chromium"
    async with browsing(path, session, tmp_path / "one") as one, browsing(path, session, tmp_path / "two") as two:
        yield [one, two]


async def look(browser: Browser, url: str, width: int = 1280) -> Page:
    """A page that shows that all is well."""
    page = await browser.page()
    await page.look_like(width, 900)
    await page.open(f"{url}/")
    await page.shows("#health", "all well")
    await page.run(WATCH)
    return page


async def shows_all(page: Page, workers: list[Worker]) -> None:
    """Wait until it shows that all is well, with each of these."""
    for worker in workers:
        await page.shows("#workers", worker.url)
    await page.shows("#health", "all well")


async def has_seen_nothing_that_stays(page: Page) -> None:
    assert page.complaints == []
    assert {urlsplit(url).path for url in page.unanswered} <= {"/v1/events", "/v1/parked"}
    assert set(await page.run("[...window.noticed]")) <= PASSING
    assert await page.text("#notices") == ""
    assert await page.text("#said") == ""
    await page.shows("#parked-empty", "None")


@pytest.mark.parametrize("first", ["this", "before"])
async def test_it_finds_its_way_while_workers_are_replaced_one_after_the_other(
    first: str, kafka: Kafka, workers: Workers, stack: Stack, session: aiohttp.ClientSession, browsers: list[Browser],
    tmp_path: Path,
) -> None:  # fmt: skip
    """One page is that of a worker itself, one goes by a load balancer to whoever is there."""
    source = ROOT if first == "this" else earlier_source(BEFORE)
    topic = await kafka.new_topic(PARTITIONS)
    running = [
        workers.launch(topic, zookeepers=stack.zookeepers, environment={"PYTHONPATH": str(source)}) for _ in range(3)
    ]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in running))
    load = Load(kafka, topic, PARTITIONS, tmp_path)
    addresses = [worker.start.address for worker in running]
    async with load.at(*(worker.url for worker in running)), Balancer.of(*addresses) as balancer:
        pages = [await look(browsers[0], running[0].url), await look(browsers[1], balancer.url, 390)]
        for number, leaving in enumerate(running):
            await load.goes_on()
            name = (await leaving.status())["worker"]
            assert (await leaving.terminate()).code == 0
            for page in pages[1 if number == 0 else 0 :]:
                await eventually(lambda page=page, name=name: is_gone(page, name))  # type: ignore[misc]
            if number == 0:
                await pages[0].shows("#notices", "No word from the worker")
                (tmp_path / "restarting.png").write_bytes(await pages[0].picture())
            running[number] = workers.again(leaving, environment={"PYTHONPATH": str(ROOT)})
            await running[number].ready()
            for page in pages:
                await shows_all(page, running)
        await load.goes_on()
        for page in pages:
            await has_seen_nothing_that_stays(page)
    assert load.handled() == Counter(range(load.produced)), "nothing is lost, and nothing comes twice"


async def is_gone(page: Page, name: str) -> bool:
    """Whether it shows others, and not this one."""
    shown = await page.text("#workers")
    return name not in shown and "this one" in shown


@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "a phone"])
async def test_it_says_that_nobody_leads_until_another_one_does(
    width: int, kafka: Kafka, workers: Workers, stack: Stack, session: aiohttp.ClientSession, browsers: list[Browser],
    tmp_path: Path,
) -> None:  # fmt: skip
    topic = await kafka.new_topic(PARTITIONS)
    three = [workers.launch(topic, zookeepers=stack.zookeepers) for _ in range(3)]
    await asyncio.gather(*(worker.ready(READY_TOGETHER) for worker in three))
    await kafka.produce(topic, *map(str, range(60)))
    led = await eventually(lambda: led_by(three[0]))
    names = {await name_of(worker): worker for worker in three}
    leads = names[str(led)]
    other = next(worker for worker in three if worker is not leads)
    page = await look(browsers[0], other.url, width)
    await Client(session, other, "one").take(20, ack_wait_ms=60_000)
    leads.kill9()
    await page.shows("#notices", f"{led} did until")
    await page.shows("#workers-note", "nobody leads")
    assert await page.run("document.getElementById('add-group').disabled")
    assert not await page.run("document.getElementById('pause').disabled")
    (tmp_path / "leader-lost.png").write_bytes(await page.picture())
    await page.shows("#health", "all well")
    await page.shows("#workers-note", "led in epoch")
    await page.shows("#workers-note", f"{led} was heard last at")
    assert not await page.run("document.getElementById('add-group').disabled")
    assert page.complaints == []
    put = await Shares(session).put(other, {"stable": 90, "canary": 10})
    assert put.status == 200


async def led_by(worker: Worker) -> str | None:
    leader: str | None = (await worker.status())["leader"]
    return leader


async def name_of(worker: Worker) -> str:
    return str((await worker.status())["worker"])
