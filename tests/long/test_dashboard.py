"""The dashboard in a browser, over a worker that clients pull from: what it shows, and what its buttons do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.browser import NAMES, VARIABLE, Browser, Page, browsing, program
from support.canary import Shares
from support.clients import Client, MakeClient
from support.eventually import eventually
from support.workers import Worker, Workers

MARKUP = "<img src=x onerror=alert(1)>"
#: The least contrast of text (WCAG 2.2, 1.4.3) that is not large: what is less of what can be seen, in words.
PALE = """(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return {r, g, b, a}; };
  const light = ({r, g, b}) => [r, g, b].map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => { for (; node; node = node.parentElement) {
    const colour = rgb(getComputedStyle(node).backgroundColor); if (colour.a === 255) return colour; } };
  const pale = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility()) continue;
    const [one, other] = [light(rgb(getComputedStyle(node).color)), light(behind(node))].sort();
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) pale.push(`${node.textContent.trim()}: ${contrast.toFixed(2)}`);
  }
  return pale;
})()"""
NAMELESS = """[...document.querySelectorAll('button, input, table, dialog[open], svg')]
  .filter((node) => node.checkVisibility() && !node.getAttribute('aria-label') && !node.getAttribute('aria-labelledby')
    && !node.labels?.length && !node.textContent.trim()).map((node) => node.outerHTML)"""


@pytest.fixture
async def browser(session: aiohttp.ClientSession, tmp_path: Path) -> AsyncIterator[Browser]:
    path = program()
    assert path is not None, f"there is none of {', '.join(NAMES)}, nor is {VARIABLE} set: apt-get install chromium"
    async with browsing(path, session, tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    page = await browser.page()
    await page.look_like(1280, 900)
    yield page
    assert page.complaints == []


@pytest.fixture
async def memory(workers_without_kafka: Workers, session: aiohttp.ClientSession) -> Worker:
    worker = await workers_without_kafka.start("orders", id="billing", memory=True)
    await eventually(lambda: can_change(session, worker))
    return worker


async def can_change(session: aiohttp.ClientSession, worker: Worker, **headers: str) -> bool:
    """Whether shares can be changed: that takes a leader, and one that leads for a while."""
    asked = session.put(f"{worker.url}/v1/canary", json={}, headers={"If-Match": "*", **headers})
    async with asked as response:
        assert response.status in (200, 503), await response.text()
        return response.status == 200


class Topic:
    """The topic of a worker in memory."""

    def __init__(self, session: aiohttp.ClientSession, worker: Worker) -> None:
        self._session = session
        self._url = f"{worker.url}/v1/produce"

    async def put(self, count: int) -> None:
        messages = [{"value": f"order {number}"} for number in range(count)]
        async with self._session.post(self._url, json={"messages": messages}) as response:
            assert response.status == 200, await response.text()


class Crew:
    """Clients that take messages and ack them, until the end."""

    def __init__(self) -> None:
        #: How many messages each group has acked.
        self.acked: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, client: Client, group: str) -> None:
        self._tasks.append(asyncio.create_task(self._work(client, group)))

    async def _work(self, client: Client, group: str) -> None:
        while True:
            pulled = await client.pull(group=group, wait_ms=5000, max_messages=2)
            if pulled.messages:
                settled = await client.ack(*pulled.leases)
                self.acked[group] += settled.acked

    async def have_acked(self, count: int) -> None:
        await eventually(lambda: self.acked.total() >= count)

    async def go_home(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


@pytest.fixture
async def crew(memory: Worker, client: MakeClient) -> AsyncIterator[Crew]:
    """One client of each group, and one whose name is markup."""
    crew = Crew()
    for name, group in (("old", "stable"), (MARKUP, "stable"), ("new", "canary")):
        crew.add(client(memory, name), group)
    yield crew
    await crew.go_home()


async def test_a_weight_set_in_the_page_is_what_clients_are_handed_until_it_is_rolled_back_there(
    memory: Worker, page: Page, crew: Crew, session: aiohttp.ClientSession
) -> None:
    topic = Topic(session, memory)
    canary = '.group[data-group="canary"]'
    await page.open(f"{memory.url}/")
    await page.shows("#health", "all well")
    assert await page.text("#topic") == "orders"
    await topic.put(20)
    await crew.have_acked(20)
    assert crew.acked["canary"] == 0

    # It has clients, so it is there although nobody has given it anything yet.
    await page.click(f"{canary} .weigh")
    await page.write("#weight", "50")
    await page.shows("#dialog-body", "stable 50 %, canary 50 %")
    await page.press("Enter")
    await page.shows(f"{canary} .shares", "Weight 50: 50 % wanted")
    await page.shows(f"{canary} .guard", "Guard: taken out if more than 10 % fail")
    await topic.put(200)
    await crew.have_acked(220)
    # Nobody is given what is stable's, and what it does not take at its turn the canary is still owed.
    assert 50 <= crew.acked["canary"] <= 101
    await page.shows(f"{canary} .verdict", "good")

    await page.click(f"{canary} .roll-back")
    await page.shows("#dialog-title", "Roll back canary")
    await page.click("#dialog-do")
    await page.shows(f"{canary} .verdict", "rolled back")
    await page.shows(f"{canary} .shares", "Weight 0")
    had = crew.acked["canary"]
    await topic.put(100)
    await crew.have_acked(320)
    assert crew.acked["canary"] == had


async def test_what_somebody_else_has_changed_meanwhile_is_not_overruled(
    memory: Worker, page: Page, crew: Crew, session: aiohttp.ClientSession
) -> None:
    await page.open(f"{memory.url}/")
    await page.click('.group[data-group="canary"] .weigh')
    put = {"weights": {"stable": 90, "canary": 10}}
    async with session.put(f"{memory.url}/v1/canary", json=put, headers={"If-Match": "*"}) as response:
        assert response.status == 200
    await page.write("#weight", "60")
    await page.click("#dialog-do")
    await page.shows("#dialog-error", "Somebody else changed it meanwhile")
    async with session.get(f"{memory.url}/v1/canary") as response:
        assert (await response.json())["weights"] == put["weights"]
    await page.press("Escape")
    assert await page.run("document.getElementById('dialog').open") is False
    # And what had the focus before has it again.
    assert await page.run("document.activeElement.className") == "weigh"


async def test_a_name_is_a_name_whatever_is_in_it(memory: Worker, page: Page, crew: Crew) -> None:
    await page.open(f"{memory.url}/")
    await page.shows("#clients", MARKUP)
    assert await page.run("document.querySelectorAll('main img').length") == 0


async def test_a_group_that_its_guard_has_taken_out_says_so_and_what_comes_next(
    memory: Worker, page: Page, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    guard = {"min_samples": 1, "max_failure_ratio": 0.0, "window_ms": 60_000}
    await Shares(session).set(memory, {"stable": 1, "canary": 99}, guard=guard)
    await Topic(session, memory).put(20)
    new = client(memory, "new")
    await page.open(f"{memory.url}/")
    for message in (await new.pull(max_messages=5, group="canary")).messages:
        await new.nack(message.lease)
    await page.shows("#notices", "canary was taken out by its guard")
    await page.shows("#notices", "set its weight when it is mended")
    canary = '.group[data-group="canary"]'
    await page.shows(f"{canary} .verdict", "taken out")
    await page.shows(f"{canary} .shares", "Weight 0: its 1 client gets nothing")
    await page.shows(f"{canary} .guard", "since it was taken out")


async def test_parked_messages_are_shown_and_sent_back(
    memory: Worker, page: Page, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    one = client(memory, "one")
    await Topic(session, memory).put(2)
    first, second = await one.take(2)
    await page.open(f"{memory.url}/")
    await page.shows("#parked-empty", "None")
    await one.settle(reject=[{"lease": lease, "reason": MARKUP} for lease in (first.lease, second.lease)])
    await page.shows("#parked", MARKUP)
    await page.shows("#parked", "order 1")
    await page.click("#parked tbody tr:nth-child(2) input")
    await page.click("#redrive-some")
    await page.click("#dialog-do")
    await page.shows("#said", "1 message redriven")
    assert [message.value for message in await one.take(1)] == ["order 1"]
    assert "order 1" not in await page.text("#parked")
    await page.shows("#parked", "order 0")


async def test_parked_messages_that_could_not_be_shown_are_shown_when_they_can_be(
    memory: Worker, page: Page, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    await page.open(f"{memory.url}/")
    await page.shows("#parked-empty", "None")
    await page.cut_off("*/v1/parked*")
    await Topic(session, memory).put(1)
    one = client(memory, "one")
    await one.settle(reject=[{"lease": (await one.take(1))[0].lease, "reason": "bad"}])
    await page.shows("#parked-empty", "They cannot be shown: nothing answers.")
    await page.cut_off()
    await page.shows("#parked", "bad")
    assert await page.text("#parked-empty") == ""


async def test_the_lag_of_a_partition_is_what_is_not_settled(
    memory: Worker, page: Page, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    await Topic(session, memory).put(5)
    one = client(memory, "one")
    held, *others = await one.take(5, ack_wait_ms=60_000)
    await one.ack(*[message.lease for message in others])
    await page.open(f"{memory.url}/")
    await page.shows("#partitions tbody tr td:nth-child(3)", "1")
    assert await page.text("#partitions tbody tr td:nth-child(4)") == str(held.offset)


async def test_where_each_group_gets_everything_it_is_shown_how_far_each_is(
    workers_without_kafka: Workers, page: Page, client: MakeClient, session: aiohttp.ClientSession
) -> None:
    worker = await workers_without_kafka.start("orders", id="billing", memory=True, delivery="broadcast")
    fast, slow = client(worker, "fast"), client(worker, "slow")
    for one in (fast, slow):
        assert not (await one.pull(wait_ms=0)).messages
    await Topic(session, worker).put(3)
    await page.open(f"{worker.url}/")
    await page.shows("#groups-note", "each gets every message")
    await fast.ack(*[message.lease for message in await fast.take(3)])
    await page.shows('.group[data-group="fast"] .counts', "Lag\n0\n")
    await page.shows('.group[data-group="slow"] .counts', "Lag\n3\n")
    assert await page.text(".group .buttons") == await page.text("#add-group") == ""


async def test_a_pause_is_seen_and_ended(memory: Worker, page: Page) -> None:
    await page.open(f"{memory.url}/")
    await page.click("#pause")
    await page.click("#dialog-do")
    await page.shows("#notices", "Paused")
    assert (await memory.status())["paused"]
    await page.shows("#pause", "Resume")
    await page.click("#pause")
    await page.click("#dialog-do")
    await page.shows("#health", "all well")
    assert not (await memory.status())["paused"]


async def test_a_worker_that_is_gone_is_missed_and_found_again(
    memory: Worker, page: Page, workers_without_kafka: Workers
) -> None:
    await page.open(f"{memory.url}/")
    await page.shows("#health", "all well")

    async def lines() -> int:
        """So many pieces the first line of a chart has."""
        return str(await page.run("document.querySelector('.line').getAttribute('d')")).count("M")

    await eventually(lines)
    # While somebody looks at it, too.
    assert (await memory.terminate()).code == 0
    await page.shows("#notices", "No word from the worker")
    # What would come to nothing is not offered, and nothing old is called new.
    assert await page.run("[...document.querySelectorAll('#pause, #add-group')].every((one) => one.disabled)")
    assert (await page.text(".chart .when")).startswith("at ")
    await workers_without_kafka.again(memory).ready()
    await page.shows("#health", "all well")
    assert not await page.run("document.getElementById('pause').disabled")
    assert await page.text(".chart .when") == "now"

    async def both() -> bool:
        """That of before, and that of now."""
        return await lines() == 2

    await eventually(both)


# Tokens --------------------------------------------------------------------------------------------------------------


def token(role: str) -> str:
    return f"{role}-token-of-at-least-32-characters"


@pytest.fixture
async def guarded(workers_without_kafka: Workers, session: aiohttp.ClientSession, tmp_path: Path) -> Worker:
    tokens = tmp_path / "tokens"
    roles = ("metrics", "admin", "consume")
    tokens.write_text("".join(f"{sha256(token(role).encode()).hexdigest()} {role}\n" for role in roles))
    worker = await workers_without_kafka.start("orders", id="billing", memory=True, tokens_file=str(tokens))
    await eventually(lambda: can_change(session, worker, Authorization=f"Bearer {token('admin')}"))
    return worker


async def give(page: Page, value: str) -> None:
    await page.shows("#dialog-title", "Token")
    await page.write("#token-value", value)
    await page.press("Enter")


async def asked(session: aiohttp.ClientSession, worker: Worker, path: str) -> Any:
    headers = {"Authorization": f"Bearer {token('admin')}"}
    async with session.get(worker.url + path, headers=headers) as response:
        assert response.status == 200
        return await response.json()


async def test_a_token_is_asked_for_and_allows_what_its_role_does(
    guarded: Worker, page: Page, browser: Browser, session: aiohttp.ClientSession
) -> None:
    version = (await asked(session, guarded, "/v1/canary"))["version"]
    await page.open(f"{guarded.url}/")
    await page.shows("#dialog-body", "This worker asks for one")
    await give(page, "x" * 40)
    await page.shows("#dialog-body", "not, or no longer, in the --tokens-file")
    await give(page, token("consume"))
    await page.shows("#dialog-body", "this takes a token of role metrics")
    assert not await page.text("#shown")

    await give(page, token("metrics"))
    await page.shows("#health", "all well")
    await page.shows("#notices", "Read only")
    await page.shows("#parked-empty", "takes a token of role admin")
    await page.click("#add-group")
    await page.click("#dialog-do")
    await page.shows("#dialog-error", "Refused: this takes a token of role admin, and this one's is metrics")
    await page.press("Escape")
    await page.click("#pause")
    await page.click("#dialog-do")
    await page.shows("#dialog-error", "Refused")
    await page.press("Escape")
    assert (await asked(session, guarded, "/v1/canary"))["version"] == version
    assert not (await asked(session, guarded, "/v1/status"))["paused"]

    await page.click("#token")
    await give(page, token("admin"))
    await page.shows("#parked-empty", "None")
    assert "Read only" not in await page.text("#notices")
    await page.click("#add-group")
    await page.click("#dialog-do")
    await page.shows("#groups", "canary")
    assert (await asked(session, guarded, "/v1/canary"))["weights"] == {"stable": 95, "canary": 5}

    # In this tab, and nowhere else that it could be read from later.
    assert await page.run("sessionStorage.length + localStorage.length + document.cookie.length") == 1
    assert token("admin") not in await page.run(
        "performance.getEntries().map((one) => one.name).join() + location.href"
    )
    assert token("admin") not in guarded.text()
    other = await browser.page()
    await other.open(f"{guarded.url}/")
    await other.shows("#dialog-title", "Token")


# How it looks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["wide", "a phone"])
async def test_it_can_be_read(
    memory: Worker, page: Page, crew: Crew, session: aiohttp.ClientSession, width: int, dark: bool
) -> None:
    await page.look_like(width, 844, dark=dark)
    async with session.post(f"{memory.url}/v1/pause") as response:
        assert response.status == 200
    await page.open(f"{memory.url}/")
    await page.shows("#clients", "new")
    await page.shows("#notices", "Paused")
    assert await page.run(PALE) == []
    assert await page.run(NAMELESS) == []
    assert await page.run("document.documentElement.scrollWidth <= innerWidth")
    await page.click('.group[data-group="canary"] .weigh')
    await page.shows("#dialog-body", "Shares")
    assert await page.run(PALE) == []
    assert await page.run(NAMELESS) == []


async def test_it_needs_no_mouse(memory: Worker, page: Page) -> None:
    await page.open(f"{memory.url}/")
    await page.shows("#health", "all well")
    reached: list[str] = []
    while (not reached or reached[-1] != "add-group") and len(reached) < 20:
        await page.press("Tab")
        reached.append(await page.run("document.activeElement.id || document.activeElement.className"))
    assert reached == ["skip", "pause", "token", "add-group"]
    await page.press("Enter")
    await page.shows("#dialog-title", "Add a group")
    assert await page.run("document.activeElement.id") == "weight"
    await page.press("Enter")
    await page.shows("#groups", "Weight 5: 5 % wanted")
