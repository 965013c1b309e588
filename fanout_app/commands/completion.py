"""``fanout completion``: what makes a shell complete the options of ``fanout``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

#: How click asks a program for completions.
VARIABLE = "_FANOUT_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete the options of fanout, for its start-up file.

    For bash: fanout completion bash > ~/.local/share/bash-completion/completions/fanout
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(click.Command("fanout"), {}, "fanout", VARIABLE).source())
