"""A pull that is sent again, since its answer was lost on the way, is answered with the same leases."""

from __future__ import annotations

from fanout_app.core.lease import Answer
from fanout_app.core.requests import Pull, Status, Verb
from unit.core.desk import ACK_WAIT, Desk, batch, entry, leases

LOAN = 2.0


def pull(client: str = "A", count: int = 3, *, name: str = "first", group: str = "stable") -> Pull:
    return Pull(client=client, group=group, max_messages=count, ack_wait=ACK_WAIT, receive_id=name)


def answered(desk: Desk, asked: Pull, on_loan: float | None = None) -> Answer:
    number = desk.queue.add_pull(desk.now, asked, on_loan=on_loan)
    desk.serve()
    return desk.answers.pop(number)


def again(desk: Desk, asked: Pull, on_loan: float | None = None) -> list[tuple[int, int]] | None:
    """Offsets and delivery counts of what it is answered with."""
    answer = desk.queue.again(asked, desk.now, on_loan)
    if answer is None:
        return None
    return sorted((message.offset, run.delivery_count) for run in answer.shown for message in run.messages)


def three(desk: Desk) -> Answer:
    desk.fetch(0, 1, 2)
    return answered(desk, pull())


def test_it_has_the_same_leases_which_end_when_they_ended() -> None:
    desk = Desk()
    answer = three(desk)
    desk.pass_time(ACK_WAIT - 1.0)

    repeated = desk.queue.again(pull(), desk.now)

    assert repeated is answer
    assert leases(repeated) == leases(answer)
    desk.wait("B", 3)
    desk.pass_time(1.0)
    assert desk.serve() == [("B", [0, 1, 2])]
    assert desk[0].ledger.failures == {0: 1, 1: 1, 2: 1}, "counted once"


def test_what_is_settled_or_somebody_elses_is_not_in_it() -> None:
    desk = Desk()
    first, second, third = leases(three(desk))
    desk.ack(first)
    desk.nack(second)
    desk.pull("B")

    assert again(desk, pull()) == [(2, 1)]

    desk.ack(third)
    assert again(desk, pull()) is None


def test_one_that_was_extended_by_itself_is_in_it_with_its_own_end() -> None:
    desk = Desk()
    first, *_ = leases(three(desk))
    desk.settle(Verb.EXTEND, entry(first, ack_wait=100.0))

    assert again(desk, pull()) == [(0, 1), (1, 1), (2, 1)]
    repeated = desk.queue.again(pull(), desk.now)
    assert repeated is not None
    assert [run.deadline for run in repeated.shown] == [ACK_WAIT, 100.0]


def test_its_tokens_do_what_they_did() -> None:
    desk = Desk()
    answer = three(desk)
    first, second, third = leases(answer)
    desk.ack(first)
    again(desk, pull())

    assert desk.ack(second) == [Status.DONE]
    assert desk.ack(batch(answer)) == [Status.DONE]
    assert desk.ack(third) == [Status.ALREADY_SETTLED]


def test_those_of_other_clients_groups_and_names_are_new() -> None:
    desk = Desk()
    three(desk)
    for other in (pull("B"), pull(name="second"), pull(group="canary"), pull(name="")):
        assert again(desk, other) is None


def test_names_of_answers_that_are_over_are_forgotten() -> None:
    desk = Desk()
    answer = three(desk)
    desk.pass_time(ACK_WAIT)
    assert again(desk, pull()) is None

    number = desk.queue.add_pull(desk.now, pull())
    desk.pass_time(2.0)
    desk.serve()
    desk.queue.release(desk.answers.pop(number), desk.now)
    assert again(desk, pull()) is None
    assert len(desk.queue.leases.received) == 0
    assert answer.live == 0


def test_of_two_answers_to_one_name_the_later_is_meant() -> None:
    desk = Desk()
    desk.fetch(0, 1)
    earlier = answered(desk, pull(count=1))
    answered(desk, pull(count=1))
    assert again(desk, pull()) == [(1, 1)]
    desk.ack(*leases(earlier))
    assert again(desk, pull()) == [(1, 1)]


class TestOnItsWay:
    """To a client of another worker: it goes back unless that confirms it."""

    def test_asked_for_once_more_here_it_is_with_its_client(self) -> None:
        desk = Desk()
        desk.fetch(0)
        answered(desk, pull(count=1), LOAN)
        desk.pass_time(1.0)
        assert again(desk, pull(count=1)) == [(0, 1)]
        desk.wait("B")
        desk.pass_time(LOAN)
        assert desk.serve() == []

    def test_asked_for_at_a_third_worker_it_is_on_its_way_anew(self) -> None:
        desk = Desk()
        desk.fetch(0)
        answered(desk, pull(count=1), LOAN)
        desk.pass_time(1.0)
        assert again(desk, pull(count=1), LOAN) == [(0, 1)]
        desk.wait("B")
        desk.pass_time(1.5)
        assert desk.serve() == []
        desk.pass_time(0.5)
        assert desk.serve() == [("B", [0])]
