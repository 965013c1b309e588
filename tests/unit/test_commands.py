"""What ``fanout`` does beside running a worker."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fanout_app.commands.completion import completion
from fanout_app.commands.token import token
from fanout_app.identity import Role
from fanout_app.tokens_file import TokensFile
from support.workers import BIN


def run(*arguments: str) -> Result:
    return CliRunner().invoke(token, ["new", *arguments])


def test_a_token_is_shown_once_and_its_line_is_what_a_worker_reads(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first = run("orders", "--tokens-file", str(path))
    second = run("canaries", "--role", "consume", "--group", "canary", "--tokens-file", str(path))
    third = run("grafana", "--role", "metrics", "--role", "consume", "--tokens-file", str(path))

    known = TokensFile(str(path)).read()
    of = [known[sha256(made.stdout.strip().encode()).digest()] for made in (first, second, third)]
    assert [(identity.name, identity.group) for identity in of] == [
        ("orders", None), ("canaries", "canary"), ("grafana", None)
    ]  # fmt: skip
    assert [identity.roles for identity in of] == [{Role.CONSUME}, {Role.CONSUME}, {Role.METRICS, Role.CONSUME}]
    for made in (first, second, third):
        assert len(made.stdout.strip()) == 44
        assert made.stdout.strip() not in path.read_text() + made.stderr


def test_a_file_that_is_made_is_for_its_owner_alone_and_one_that_was_there_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    run("a", "--tokens-file", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("# ours" + "\n" + path.read_text().strip())
    path.chmod(0o640)
    run("b", "--tokens-file", str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text().startswith("# ours\n")
    assert len(TokensFile(str(path)).read()) == 2
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokens"]


def test_a_file_goes_on_being_its_owners_and_its_groups_who_has_to_read_it(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    run("a", "--tokens-file", str(path))
    # Root may give it to anybody, another user to the groups that he is in.
    group = 65533 if os.geteuid() == 0 else max({os.getgid(), *os.getgroups()})
    os.chown(path, -1, group)
    run("b", "--tokens-file", str(path))
    assert path.stat().st_gid == group


def test_without_a_file_the_line_is_printed_beside_it(tmp_path: Path) -> None:
    made = run("orders")
    line = made.stderr.splitlines()[1]
    assert line == f"{sha256(made.stdout.strip().encode()).hexdigest()} consume name=orders"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["two words"], "NAME has to be"),
        (["a", "--group", "b c"], "--group has to be"),
        (["a", "--role", "admin", "--group", "b"], "fixes a group"),
        (["a", "--role", "all"], "'all' is not one of"),
    ],
)
def test_what_a_worker_would_refuse_is_refused(tmp_path: Path, arguments: list[str], why: str) -> None:
    path = tmp_path / "tokens"
    made = run(*arguments, "--tokens-file", str(path))
    assert (made.exit_code, made.stdout, path.exists()) == (2, "", False)
    assert why in made.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_its_options(shell: str) -> None:
    printed = CliRunner().invoke(completion, [shell])
    assert printed.exit_code == 0
    assert "_FANOUT_COMPLETE" in printed.stdout


def test_the_commands_are_there_and_the_options_are_completed() -> None:
    def ran(*words: str, **variables: str) -> str:
        ended = subprocess.run(
            [BIN / "fanout", *words], env={"PATH": "", **variables}, capture_output=True, text=True, timeout=30,
            check=True,
        )  # fmt: skip
        return ended.stdout

    assert "Make a token" in ran("token", "new", "--help")
    offered = ran(_FANOUT_COMPLETE="bash_complete", COMP_WORDS="fanout --ack", COMP_CWORD="1")
    assert "--ack-wait" in offered


def test_what_only_says_something_does_not_wait_for_what_a_worker_imports() -> None:
    probe = "import sys, fanout_app.__main__; print({'faust', 'aiohttp', 'aiokafka', 'asyncio'} & sys.modules.keys())"
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "set()\n"
