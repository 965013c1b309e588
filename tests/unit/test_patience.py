"""How long a refusal is put up with, and that silence is put up with for ever."""

from __future__ import annotations

import pytest

from fanout_app import patience as module
from fanout_app.patience import Patience

NO_ANSWER, REFUSED = False, True


@pytest.mark.parametrize(
    ("failures", "over"),
    [
        ([(0, NO_ANSWER), (1000, NO_ANSWER)], False),
        ([(0, REFUSED), (15, REFUSED)], False),
        ([(0, REFUSED), (10, REFUSED), (16, REFUSED)], True),
        ([(0, NO_ANSWER), (100, REFUSED), (115, REFUSED)], False),
        ([(0, REFUSED), (10, NO_ANSWER), (20, REFUSED)], False),
    ],
)
def test_refusals_are_counted_from_the_first_in_a_row(
    failures: list[tuple[float, bool]], over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = Patience(15.0)
    for at, refused in failures:
        monkeypatch.setattr(module, "monotonic", lambda at=at: at)
        answer = patience.is_over(refused=refused)
    assert answer is over
