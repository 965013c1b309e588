"""The options that say who gets a message, and in what order."""

from __future__ import annotations

import click

from fanout_app.option_types import option

DELIVERY_OPTIONS: tuple[click.Option, ...] = (
    option(
        "delivery",
        "Who gets a message: one client of all, groups sharing by weight (balance), or each group (broadcast).",
        default="balance",
        show_default=True,
        type=click.Choice(["balance", "broadcast"]),
    ),
    option(
        "order",
        "What order is kept: none, or that of messages with one key, each handed out once those before are settled.",
        default="none",
        show_default=True,
        type=click.Choice(["none", "key"]),
    ),
)
