"""The files of the page: whole, of here alone, and new ones as soon as there are some."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fanout_app.web.access import Gate
from fanout_app.web.views_dashboard import FOLDER
from unit.web.harness import Served, serving

FILES = sorted(path.name for path in FOLDER.iterdir())
SCRIPTS = [name for name in FILES if name.endswith(".js")]


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    # Nobody has a token: it is served all the same.
    async with serving(gate=Gate({})) as served:
        yield served


def links(name: str) -> set[str]:
    """What a file asks for."""
    text = (FOLDER / name).read_text()
    if name.endswith(".html"):
        return {found.removeprefix("dashboard/") for found in re.findall(r'(?:href|src)="([^"#]+)"', text)}
    return (
        {found.removeprefix("./") for found in re.findall(r'from "([^"]+)"', text)} if name.endswith(".js") else set()
    )


async def test_the_page_is_served_with_all_that_it_asks_for_and_nothing_else(there: Served) -> None:
    status, headers, body = await there.ask("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body == (FOLDER / "index.html").read_bytes()
    known, unknown = {"index.html"}, links("index.html")
    while unknown:
        name = unknown.pop()
        known.add(name)
        status, headers, body = await there.ask("GET", f"/dashboard/{name}")
        assert status == 200, name
        assert body == (FOLDER / name).read_bytes()
        kinds = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
        assert headers["Content-Type"] == kinds[Path(name).suffix]
        unknown |= links(name) - known
    assert known == set(FILES)


async def test_a_browser_takes_nothing_from_elsewhere_and_no_script_in_the_page(there: Served) -> None:
    for path in ("/", "/dashboard/dashboard.js"):
        _, headers, _ = await there.ask("GET", path)
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert {policy[f"{kind}-src"] for kind in ("script", "style", "img", "connect")} == {"'self'"}
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
def test_nothing_in_it_is_from_elsewhere_and_nothing_makes_markup_of_text(name: str) -> None:
    text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|@import|url\(", text)
    if name.endswith(".html"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]* src=)", text)
    if name.endswith(".js"):
        markup = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|eval\(|new Function|cssText"
        assert not re.search(markup, text)


async def test_it_is_not_sent_again_as_long_as_it_is_the_same(there: Served) -> None:
    for path in ("/", *(f"/dashboard/{name}" for name in SCRIPTS)):
        _, headers, _ = await there.ask("GET", path)
        assert headers["Cache-Control"] == "no-cache"
        tag = headers["Etag"]
        status, again, body = await there.ask("GET", path, headers={"If-None-Match": tag})
        assert (status, again["Etag"], body) == (304, tag, b"")
        assert (await there.ask("GET", path, headers={"If-None-Match": '"another"'}))[0] == 200
        assert (await there.ask("HEAD", path))[::2] == (200, b"")


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fviews.py", "%2e%2e", "__init__.py"])
async def test_no_other_file_is_served(there: Served, name: str) -> None:
    assert await there.raw_status("GET", f"/dashboard/{name}") in (401, 404)


async def test_at_two_slashes_where_its_links_lead_astray_there_is_no_page(there: Served) -> None:
    assert await there.raw_status("GET", "//") == 401
