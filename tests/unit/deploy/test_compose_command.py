"""`bin/compose` says what is missing, and else hands everything to docker with our file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from unit.deploy.deployed import ROOT

#: Tells what it was called with; one without the plugin fails as docker does.
_DOCKER = """#!/bin/sh
[ "$1 $2" != "compose version" ] || exit {has_compose}
echo "$@"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with nothing but what the script itself needs."""
    for tool in ("bash", "dirname", "env", "cat"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    return tmp_path


def install_docker(path: Path, *, has_compose: bool = True) -> None:
    docker = path / "docker"
    docker.write_text(_DOCKER.format(has_compose=0 if has_compose else 1))
    docker.chmod(0o755)


def compose(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "bin" / "compose", *arguments],
        env={**os.environ, "PATH": str(path)}, cwd=path, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def test_without_docker_or_its_plugin_it_says_so(path: Path) -> None:
    done = compose(path, "up")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bin/compose: no docker found: install")
    install_docker(path, has_compose=False)
    done = compose(path, "up")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("bin/compose: this docker has no compose: install")


def test_everything_is_handed_to_docker_with_our_file(path: Path) -> None:
    install_docker(path)
    file = ROOT / "compose" / "docker-compose.yml"
    for given, passed in (
        (("up",), "up --build --detach --wait"),
        (("up", "worker_1"), "up --build --detach --wait worker_1"),
        (("down", "--volumes"), "down --volumes"),
        (("logs", "-f", "worker_1"), "logs -f worker_1"),
        (("config",), "config"),
    ):
        done = compose(path, *given)
        assert (done.returncode, done.stdout) == (0, f"compose --file {file} {passed}\n"), done.stderr


def test_without_a_command_it_says_what_there_is(path: Path) -> None:
    done = compose(path)
    assert done.returncode == 0
    assert all(f"\n  {command} " in done.stdout for command in ("up", "down", "check"))
