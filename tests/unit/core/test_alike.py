"""Which workers may not be in one cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanout_app.core.alike import Ways, contradiction
from unit.core.test_roster import BEAT

MINE = Ways(delivery="balance", order="none")
LIKE_MINE = replace(BEAT, delivery="balance", order="none")


@pytest.mark.parametrize("other", [LIKE_MINE, BEAT], ids=["with the same", "of an earlier version, which does not say"])
def test_who_was_started_alike_or_does_not_say_may_be_there(other: object) -> None:
    assert contradiction(MINE, other) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(LIKE_MINE, delivery="broadcast"), "--delivery broadcast, and this one with --delivery balance:"),
        (replace(LIKE_MINE, order="key"), "--order key, and this one with --order none:"),
    ],
)
def test_who_was_not_is_named_with_both_options(other: object, said: str) -> None:
    why = contradiction(MINE, other)  # type: ignore[arg-type]
    assert why is not None
    assert why.startswith(f"worker b at http://10.0.0.1:6066 was started with {said}")
