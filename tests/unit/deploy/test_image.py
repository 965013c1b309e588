"""The image: what it is made of, what it is told of a worker, and the check of its health, which runs here."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from fanout_app.core.errors import StartError
from fanout_app.web import listening
from fanout_app.web.openapi import OPERATIONS
from support.certificates import Authority
from support.dockerfile import stages
from unit.deploy.deployed import ROOT, options_of, port_of

BUILD, IMAGE = stages((ROOT / "compose" / "Dockerfile").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEALTHCHECK = ROOT / "compose" / "healthcheck.py"
#: Who takes longer than this has hung.
WITHIN = 20.0


def of_image() -> dict[str, str]:
    return {name: value for name, value in IMAGE.one("ENV").variables({}).items() if name.startswith("FANOUT_")}


def test_what_a_wheel_is_made_of_is_there_and_sent_to_the_engine() -> None:
    copied = {name for step in BUILD.all("COPY") for name in step.words[:-1]}
    packages = {name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    licences = set(PROJECT["project"]["license-files"])
    assert copied == packages | licences | {
        "constraints.txt",
        "pyproject.toml",
        "setup.py",
        PROJECT["project"]["readme"],
    }
    copied |= {name for step in IMAGE.all("COPY") if "from" not in step.flags for name in step.words[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_both_stages_have_the_python_that_is_tested_with() -> None:
    # A wheel of another version would not fit, nor would an environment that another one made.
    assert BUILD.base.removeprefix("python:") == IMAGE.base.removeprefix("python:").removesuffix("-slim")
    assert PROJECT["project"]["requires-python"] == f">={BUILD.base.removeprefix('python:')}"


def test_it_runs_our_command_as_a_number_that_is_not_root() -> None:
    assert IMAGE.one("ENTRYPOINT").words[0] in PROJECT["project"]["scripts"]
    user, group = IMAGE.one("USER").text.split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_it_serves_at_the_port_it_names_and_leaves_it_to_its_user_whom_it_trusts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = options_of({**of_image(), "FANOUT_ID": "a", "FANOUT_TOPIC": "t"}, monkeypatch)
    assert port_of(options.bind) == int(IMAGE.one("EXPOSE").text) == listening.DEFAULT_PORTS[0]
    with pytest.raises(StartError, match=r"--tokens-file.*--insecure"):
        listening.check(options.bind, insecure=options.insecure)
    # Each of the two by itself is enough: an image that was insecure by itself would refuse a file of tokens.
    assert options_of({**of_image(), "FANOUT_ID": "a", "FANOUT_TOPIC": "t", "FANOUT_TOKENS_FILE": "t"}, monkeypatch)


# Its health -----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def worker(**answers: int) -> AsyncIterator[tuple[web.Application, list[str]]]:
    """What answers with these codes at these paths, and which of them have been asked for."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=answers[request.path.strip("/")], text="a reason")

    app = web.Application()
    app.router.add_get("/{path}", answer)
    yield app, asked


@asynccontextmanager
async def served(app: web.Application, authority: Authority | None = None) -> AsyncIterator[dict[str, str]]:
    """The variables of a container in which this is the worker, with HTTPS and certificates asked for, or without."""
    variables, context = {}, None
    if authority is not None:
        files = authority.issue("worker", "elsewhere.invalid")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(*files)
        variables = {"FANOUT_TLS_CERT": files.cert, "FANOUT_TLS_KEY": files.key}
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield {**variables, "FANOUT_BIND": f"0.0.0.0:{runner.addresses[0][1]}"}
    finally:
        await runner.cleanup()


def check(variables: dict[str, str]) -> tuple[int, str]:
    """The exit code of the command of the image, and what it says."""
    words = IMAGE.one("HEALTHCHECK").words
    assert words[0] == "python"
    assert Path(words[-1]).name == HEALTHCHECK.name
    done = subprocess.run(
        [sys.executable, *words[1:-1], HEALTHCHECK],
        env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


async def checked(variables: dict[str, str]) -> tuple[int, str]:
    """While this process serves it."""
    return await asyncio.to_thread(check, variables)


async def test_one_that_is_well_and_ready_is_healthy() -> None:
    async with worker(healthz=200, readyz=200) as (app, asked), served(app) as variables:
        assert await checked(variables) == (0, "")
    assert asked == ["/healthz", "/readyz"]
    assert {("GET", path) for path in asked} <= OPERATIONS.keys()


async def test_one_that_stands_still_is_not_and_neither_is_one_that_is_not_ready() -> None:
    async with worker(healthz=503, readyz=200) as (app, _), served(app) as variables:
        assert await checked(variables) == (1, "/healthz: 503 a reason\n")
    async with worker(healthz=200, readyz=503) as (app, _), served(app) as variables:
        assert await checked(variables) == (1, "/readyz: 503 a reason\n")


async def test_one_that_is_not_there_is_not() -> None:
    async with worker() as (app, _), served(app) as variables:
        pass
    code, said = await checked(variables)
    assert (code, "refused" in said) == (1, True), said


async def test_with_https_it_shows_the_certificate_of_the_worker_itself(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with worker(healthz=200, readyz=200) as (app, asked), served(app, authority) as variables:
        assert await checked(variables) == (0, "")
    assert asked == ["/healthz", "/readyz"]


def test_the_check_gives_up_before_docker_does() -> None:
    flags = IMAGE.one("HEALTHCHECK").flags
    patience = float(flags["timeout"].removesuffix("s"))
    assert patience > float(HEALTHCHECK.read_text().split("_WITHIN = ")[1].split()[0])
    # A start waits so long for Kafka and ZooKeeper before it gives up.
    assert float(flags["start-period"].removesuffix("s")) > 15 + 10
