"""A request of the Python client until it is answered: which worker is asked, and after what pause."""

from __future__ import annotations

import json

import pytest

from fanout_client import RefusedError, UnknownAddressError
from fanout_client.addresses import BACK_AFTER, Addresses
from fanout_client.backoff import FIRST, LONGEST, Backoff
from fanout_client.calls import Call
from fanout_client.wire import Request

A, B = "http://a:1", "http://b:2"


def in_order(*urls: str) -> Addresses:
    return Addresses(urls, shuffle=lambda some: None)


class Desk:
    """A call, and what it is answered; time stands still."""

    def __init__(self, *urls: str, token: bool = False) -> None:
        self.attempts: list[int] = []
        self.call = Call(in_order(*urls), self._request, has_token=token)
        self.asked: list[str] = []

    def _request(self, attempts: int) -> Request:
        self.attempts.append(attempts)
        return Request("POST", "/v1/pull")

    def ask(self) -> str:
        url, _ = self.call.next(0.0)
        return url

    def answer(self, status: int, body: object = None, **headers: str) -> float:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call.answered(0.0, status, named.get, json.dumps(body).encode())


def problem(kind: str, detail: str = "why") -> dict[str, object]:
    return {"type": f"urn:fanout:problem:{kind}", "detail": detail}


@pytest.mark.parametrize("status", [200, 204])
def test_an_answer_is_the_end_of_it(status: int) -> None:
    desk = Desk(A)
    assert desk.ask() == f"{A}/v1/pull"
    desk.answer(status)
    assert desk.call.done is not None
    assert desk.call.done.status == status


def test_one_that_does_not_answer_is_followed_by_the_next() -> None:
    desk = Desk(A, B)
    desk.ask()
    pause = desk.call.failed(0.0, ConnectionResetError())
    assert FIRST / 2 <= pause <= FIRST
    assert desk.ask() == f"{B}/v1/pull"
    assert desk.attempts == [0, 1], "it is told that it is a repeat"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_a_worker_cannot_do_now_another_one_may(status: int) -> None:
    desk = Desk(A, B)
    desk.ask()
    assert desk.answer(status, problem("stopping"), Retry_After="3") >= 3.0
    assert desk.ask() == f"{B}/v1/pull"


def test_a_partition_that_moves_moves_for_all_workers() -> None:
    desk = Desk(A, B)
    desk.ask()
    desk.answer(503, problem("moving"))
    assert desk.ask() == f"{A}/v1/pull"


def test_what_no_worker_of_ours_says_is_no_reason_to_give_up() -> None:
    desk = Desk(A)
    desk.ask()
    assert desk.call.answered(0.0, 502, lambda name: None, b"<html>") > 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_what_would_be_refused_anywhere_is_told(status: int) -> None:
    desk = Desk(A, B)
    desk.ask()
    body = {**problem("invalid-field", "look"), "errors": [{"field": "group", "detail": "no name"}]}
    with pytest.raises(RefusedError, match=f"{status} invalid-field: look; group: no name") as caught:
        desk.answer(status, body)
    assert caught.value.faults == (("group", "no name"),)


class TestRedirects:
    def test_the_worker_that_is_named_is_asked_at_once(self) -> None:
        desk = Desk(A)
        desk.ask()
        assert desk.answer(307, Location=f"{B}/v1/pull?redirects=1") == 0.0
        assert desk.ask() == f"{B}/v1/pull?redirects=1"

    def test_a_path_alone_is_of_the_worker_that_was_asked(self) -> None:
        desk = Desk(A)
        desk.ask()
        desk.answer(307, Location="/v1/pull?redirects=1")
        assert desk.ask() == f"{A}/v1/pull?redirects=1"

    def test_a_token_goes_to_known_addresses_alone(self) -> None:
        desk = Desk(A, B, token=True)
        desk.ask()
        desk.answer(307, Location=f"{B}/v1/pull")
        assert desk.ask().startswith(B)
        with pytest.raises(UnknownAddressError, match="http://c:3"):
            desk.answer(307, Location="http://c:3/v1/pull")

    def test_another_scheme_or_port_is_another_address(self) -> None:
        for other in ("https://a:1/v1/pull", "http://a:2/v1/pull", "http://a/v1/pull"):
            desk = Desk(A, token=True)
            desk.ask()
            with pytest.raises(UnknownAddressError):
                desk.answer(307, Location=other)

    def test_it_does_not_go_round_for_ever(self) -> None:
        desk = Desk(A)
        for _ in range(2):
            desk.ask()
            assert desk.answer(307, Location=f"{B}/v1/pull") == 0.0
        desk.ask()
        assert desk.answer(307, Location=f"{B}/v1/pull") > 0.0
        assert desk.ask() == f"{A}/v1/pull"


class TestAddresses:
    def test_the_first_one_is_tried_again_after_a_while(self) -> None:
        some = in_order(A, B)
        some.failed(A, 100.0)
        assert some.current(100.0 + BACK_AFTER - 0.1) == B
        assert some.current(100.0 + BACK_AFTER) == A

    def test_of_many_requests_that_fail_at_one_only_the_first_counts(self) -> None:
        some = in_order(A, B)
        some.failed(A, 0.0)
        some.failed(A, 0.0)
        assert some.current(0.0) == B

    def test_there_may_be_one_alone(self) -> None:
        some = in_order(A)
        some.failed(A, 0.0)
        assert some.current(0.0) == A

    def test_each_client_has_an_order_of_its_own(self) -> None:
        assert Addresses([A, B], shuffle=lambda some: some.reverse()).current(0.0) == B

    @pytest.mark.parametrize(
        ("given", "base"),
        [("h:1", "http://h:1"), ("http://h", "http://h:80"), ("https://h/", "https://h:443"), ("[::1]:5", "http://[::1]:5")],
    )  # fmt: skip
    def test_an_address_is_a_host_and_a_port(self, given: str, base: str) -> None:
        assert in_order(given).current(0.0) == base

    @pytest.mark.parametrize("wrong", ["", "ftp://h", "http://"])
    def test_what_is_none_is_refused(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="write http://HOST:PORT"):
            in_order(wrong)

    def test_a_password_is_refused_and_not_repeated(self) -> None:
        with pytest.raises(ValueError, match="token=") as caught:
            in_order("http://me:secret@h:1")
        assert "secret" not in str(caught.value)

    def test_at_least_one_is_named(self) -> None:
        with pytest.raises(ValueError, match="at least one"):
            Addresses([])


def test_pauses_grow_up_to_a_limit_and_half_of_each_is_chance() -> None:
    least, most = Backoff(lambda: 0.0), Backoff(lambda: 1.0)
    short, long = [least.next() for _ in range(9)], [most.next() for _ in range(9)]
    assert long[:3] == [FIRST, 2 * FIRST, 4 * FIRST]
    assert long[-1] == LONGEST
    assert short == [pause / 2 for pause in long]
