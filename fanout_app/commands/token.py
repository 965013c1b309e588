"""``fanout token new``: a token for a client or an operator, and its line in the file that workers read."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from fanout_app import names
from fanout_app.core.errors import OptionError
from fanout_app.identity import Role
from fanout_app.tokens_file import TokensFile

#: 264 bits, in 44 characters.
_BYTES: Final = 33


@click.group()
def token() -> None:
    """Tokens for --tokens-file."""


@token.command()
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    default=(Role.CONSUME.value,),
    show_default=True,
    help="What it allows; may be given several times.",
)
@click.option("--group", help="Fix it to this group; with the role consume, and without admin.")
@click.option(
    "--tokens-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="FANOUT_TOKENS_FILE",
    show_envvar=True,
    help="Add its line to this file, in one go; the file is made where there is none. Default: print the line.",
)
def new(name: str, roles: tuple[str, ...], group: str | None, tokens_file: Path | None) -> None:
    """Make a token for NAME, which is what the log calls it.

    The token itself is printed once, on standard output, and kept nowhere.
    """
    for given, what in ((name, "NAME"), (group, "--group")):
        if given is not None and (names.in_form(given) is None or given.split() != [given]):
            raise click.UsageError(f"{what} has to be {names.RULE}, without spaces")
    made = secrets.token_urlsafe(_BYTES)
    labels = [f"group={group}"] * (group is not None) + [f"name={name}"]
    line = " ".join([sha256(made.encode()).hexdigest(), ",".join(dict.fromkeys(roles)), *labels])
    _see_that_it_is_good(line)
    if tokens_file is None:
        click.echo(f"# a line of --tokens-file:\n{line}\n# the token, shown this once:", err=True)
    else:
        _add(tokens_file, line)
        click.echo(f"# added to {tokens_file}; the token, shown this once:", err=True)
    click.echo(made)


def _see_that_it_is_good(line: str) -> None:
    """Before it is anywhere. Raises click's error where a worker would refuse it."""
    with tempfile.NamedTemporaryFile("w", suffix=".tokens") as file:
        file.write(line + "\n")
        file.flush()
        try:
            TokensFile(file.name).read()
        except OptionError as error:
            raise click.UsageError(str(error).partition(": line 1 ")[2] or str(error)) from None


def _add(path: Path, line: str) -> None:
    """The file is whole at every moment, since workers read it when they like.

    A new one is for its owner alone; one that was there goes on being readable by those who could read it.
    """
    known = path.stat() if path.exists() else None
    before = path.read_text() if known else ""
    mode = known.st_mode & 0o777 if known else 0o600
    ended = before if not before or before.endswith("\n") else before + "\n"
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        if known:
            with suppress(PermissionError):
                os.fchown(file.fileno(), known.st_uid, known.st_gid)
        file.write(f"{ended}{line}\n")
    os.replace(beside, path)
