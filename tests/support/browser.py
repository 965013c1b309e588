"""A browser without a screen, led by its DevTools protocol: what a page shows, and what happens where it is clicked."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from support.eventually import eventually

#: What it goes by; the first that is there, unless this variable names one.
NAMES = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "TESTS_CHROMIUM"
#: Seconds for a start on a busy machine, and for one answer.
_START = 60.0
_ANSWER = 30.0


def program() -> str | None:
    """Where it is, if it is."""
    return os.environ.get(VARIABLE) or next((found for name in NAMES if (found := shutil.which(name))), None)


class Page:
    """One tab. Scripts are expressions of JavaScript, which may be promises."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = count(1).__next__
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._reading = asyncio.create_task(self._read())
        #: What the page has complained of: errors of scripts, and what its policy has refused.
        self.complaints: list[str] = []
        #: The addresses of requests that came to nothing, as the console has them.
        self.unanswered: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        number = self._number()
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(_ANSWER):
            return await answer

    async def _read(self) -> None:
        async for frame in self._socket:
            message = frame.json()
            if "id" in message:
                asked = self._asked.pop(message["id"])
                if "error" in message:
                    asked.set_exception(RuntimeError(str(message["error"])))
                else:
                    asked.set_result(message["result"])
            elif message["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))
            elif message["method"] == "Log.entryAdded":
                entry = message["params"]["entry"]
                if entry["source"] == "network":
                    self.unanswered.append(entry["url"])
                else:
                    self.complaints.append(entry["text"])

    async def close(self) -> None:
        await self._socket.close()
        await self._reading

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await eventually(lambda: self.run(f"location.href.startsWith({url!r}) && document.readyState == 'complete'"))

    async def run(self, script: str) -> Any:
        """What it comes to. Raises AssertionError if it throws."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def text(self, selector: str) -> str:
        """What people read there; empty where nothing is, or nothing that is shown."""
        read = "((it) => it?.checkVisibility() ? it.innerText : '')"
        return str(await self.run(f"{read}(document.querySelector({selector!r}))")).replace("\u00a0", " ")

    async def shows(self, selector: str, text: str) -> None:
        """Wait until it does."""

        async def shown() -> bool:
            seen = await self.text(selector)
            assert text in seen, f"{selector} does not show {text!r} but {seen!r}"
            return True

        await eventually(shown)

    async def cut_off(self, *addresses: str) -> None:
        """Requests to these come to nothing from now on, and those to others do no more; a * stands for anything."""
        await self.call("Network.enable")
        await self.call("Network.setBlockedURLs", urls=list(addresses))

    async def click(self, selector: str) -> None:
        """Click where it is, with the mouse, once it is there."""
        place = (
            f"(() => {{ const it = document.querySelector({selector!r}); if (!it) return null;"
            " it.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const box = it.getBoundingClientRect(); const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];"
            " return it.contains(document.elementFromPoint(x, y)) ? {x, y} : null; })()"
        )
        at = await eventually(lambda: self.run(place))
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    async def write(self, selector: str, text: str) -> None:
        """Into a field, in place of what is there."""
        await self.run(f"document.querySelector({selector!r}).select()")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        """Tab, Enter or Escape."""
        code = {"Tab": 9, "Enter": 13, "Escape": 27}[key]
        how = {"key": key, "code": key, "windowsVirtualKeyCode": code, **({"text": "\r"} if key == "Enter" else {})}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **how)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **how)

    async def look_like(self, width: int, height: int, *, dark: bool = False) -> None:
        """A screen of this size, in pixels, and what its owner likes."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self) -> bytes:
        """All of the page, as PNG."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])


class Browser:
    """One process, with a profile of its own."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address
        self._pages: list[Page] = []

    async def page(self) -> Page:
        """A new tab, which knows nothing of the others' sessions."""
        async with self._session.put(f"{self._address}/json/new?about:blank") as response:
            target = await response.json(content_type=None)
        page = Page(await self._session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
        self._pages.append(page)
        for domain in ("Page", "Runtime", "Log"):
            await page.call(f"{domain}.enable")
        return page

    async def close(self) -> None:
        for page in self._pages:
            await page.close()


@asynccontextmanager
async def browsing(path: str, session: aiohttp.ClientSession, folder: Path) -> AsyncIterator[Browser]:
    """The browser at ``path``, until the end; its profile is in ``folder``."""
    process = await asyncio.create_subprocess_exec(
        path,
        "--headless=new",
        "--no-sandbox",  # which root cannot have; it sees nothing but our own page
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        "about:blank",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port_file = folder / "DevToolsActivePort"

        def port() -> str:
            assert process.returncode is None, f"{path} ended with {process.returncode}"
            return port_file.read_text().split("\n")[0] if port_file.exists() else ""

        browser = Browser(session, f"http://127.0.0.1:{await eventually(port, _START)}")
        try:
            yield browser
        finally:
            await browser.close()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
