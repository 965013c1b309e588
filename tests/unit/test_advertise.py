"""The address that a worker tells the others."""

from __future__ import annotations

import pytest

from fanout_app.advertise import advertised
from fanout_app.core.errors import StartError

BROKERS = ["127.0.0.1:9092"]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        ("127.0.0.1", "http://127.0.0.1:6066"),
        ("10.1.2.3", "http://10.1.2.3:6066"),
        ("::1", "http://[::1]:6066"),
        # From here one reaches a broker of this machine at the loopback address only.
        ("0.0.0.0", "http://127.0.0.1:6066"),
        ("::", "http://127.0.0.1:6066"),
    ],
)
def test_it_is_where_the_worker_serves_or_from_where_it_reaches_its_broker(host: str, told: str) -> None:
    assert advertised(host, 6066, BROKERS, None) == told


def test_what_is_asked_for_is_told() -> None:
    assert advertised("0.0.0.0", 6066, BROKERS, "worker-1.example:80") == "http://worker-1.example:80"


def test_the_first_broker_that_can_be_reached_decides() -> None:
    assert advertised("0.0.0.0", 1, ["nobody.invalid:9092", *BROKERS], None) == "http://127.0.0.1:1"


def test_where_it_cannot_be_found_out_the_error_names_the_option() -> None:
    with pytest.raises(
        StartError, match=r"serves at 0\.0\.0\.0: no way to nobody\.invalid:9092.*--advertise HOST:PORT"
    ):
        advertised("0.0.0.0", 6066, ["nobody.invalid:9092"], None)
