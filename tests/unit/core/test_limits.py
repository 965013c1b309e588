"""How much a client, an answer and a worker may hold."""

from __future__ import annotations

from fanout_app.core.limits import Counters, Limits, summed
from fanout_app.core.requests import Empty, Pull
from unit.core.desk import ACK_WAIT, Desk, batch, lease, leases, ledger, offsets


class TestClientLimit:
    def test_it_cuts_an_answer_short(self) -> None:
        desk = Desk(limits=Limits(client_limit=3))
        desk.fetch(*range(10))
        assert offsets(desk.pull("A", 2)) == [0, 1]
        assert offsets(desk.pull("A", 10)) == [2]

    def test_it_is_met_by_waiting(self) -> None:
        desk = Desk(limits=Limits(client_limit=2))
        desk.fetch(*range(10))
        held = desk.pull("A", 10)
        desk.wait("A", 10)
        assert desk.serve() == []
        assert desk.queue.why_empty(Pull(client="A"), desk.now) is Empty.CLIENT_LIMIT
        desk.ack(leases(held)[0])
        assert desk.serve() == [("A", [2])]

    def test_it_holds_for_all_pulls_of_a_name_in_whatever_group(self) -> None:
        desk = Desk(limits=Limits(client_limit=2))
        desk.queue.set_weights({"stable": 95, "canary": 5})
        desk.fetch(*range(10))
        for group in ("stable", "stable", "canary"):
            desk.wait("A", 2, group=group)
        assert desk.serve() == [("A", [0, 1])]
        desk.pass_time(ACK_WAIT)
        desk.pull("B", 2)
        assert desk.serve() == []
        desk.pass_time(1.0)
        assert [client for client, _ in desk.serve()] == []

    def test_a_new_pull_of_one_at_its_limit_waits_from_the_start(self) -> None:
        desk = Desk(limits=Limits(client_limit=1))
        desk.queue.set_weights({"canary": 1})
        desk.fetch(0, 1)
        held = desk.pull("A")
        desk.wait("A", group="canary")
        desk.wait("B", group="canary")
        assert desk.serve() == [("B", [1])]
        desk.fetch(2)
        assert desk.serve() == []
        desk.ack(lease(held))
        assert desk.serve() == [("A", [2])]


class TestMaxBytes:
    def test_an_answer_stays_below(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2, size=40)
        desk.wait("A", 10, max_bytes=100)
        assert desk.serve() == [("A", [0, 1])]

    def test_a_larger_message_is_handed_over_alone(self) -> None:
        """D7: never an endless series of empty answers."""
        desk = Desk()
        desk.fetch(0, size=10)
        desk.fetch(1, size=900)
        desk.fetch(2, size=10)
        desk.fetch(3, size=0)
        for _ in range(3):
            desk.wait("A", 10, max_bytes=64)
        assert desk.serve() == [("A", [0]), ("A", [1]), ("A", [2, 3])]

    def test_the_same_when_it_comes_again(self) -> None:
        desk = Desk()
        desk.fetch(0, size=10)
        desk.fetch(1, size=900)
        desk.fetch(2, size=0)
        held = desk.pull("A", 3)
        desk.queue.release(held, desk.now)
        for _ in range(3):
            desk.wait("A", 10, max_bytes=64)
        assert desk.serve() == [("A", [0]), ("A", [1]), ("A", [2])]

    def test_no_room_at_all_still_gets_one(self) -> None:
        desk = Desk()
        desk.fetch(0, 1)
        desk.wait("A", 10, max_bytes=0)
        assert desk.serve() == [("A", [0])]

    def test_it_holds_over_partitions(self) -> None:
        desk = Desk()
        desk.assign(1)
        desk.assign(2)
        desk.fetch(0, size=60)
        desk.fetch(10, number=1, size=60)
        desk.fetch(20, number=2, size=60)
        desk.wait("A", 10, max_bytes=100)
        assert desk.serve() == [("A", [0])]
        desk.wait("A", 10, max_bytes=120)
        assert desk.serve() == [("A", [10, 20])]

    def test_it_holds_for_what_comes_again_and_what_is_new_together(self) -> None:
        desk = Desk()
        desk.assign(1)
        desk.fetch(0, size=60)
        desk.fetch(10, number=1, size=60)
        desk.queue.release(desk.pull("A"), desk.now)
        desk.queue.release(desk.pull("A", 2), desk.now)
        desk.fetch(1, size=30)
        desk.wait("A", 10, max_bytes=100)
        assert desk.serve() == [("A", [0, 1])]

    def test_a_large_one_is_forgotten_once_it_is_gone(self) -> None:
        desk = Desk()
        desk.fetch(0, size=900)
        desk.pull("A")
        desk.fetch(1, 2, size=10)
        assert desk[0].fresh.take(10, 25) != []
        assert len(desk[0].fresh) == 0


class TestIntake:
    def test_it_is_shut_while_nobody_is_there(self) -> None:
        desk = Desk(limits=Limits(client_ttl=10.0))
        assert not desk.queue.wants(0, desk.now)
        pull = desk.wait("A")
        assert desk.queue.wants(0, desk.now)
        desk.queue.cancel_pull(pull, desk.now)
        assert desk.queue.wants(0, 9.9)
        assert not desk.queue.wants(0, 10.0)

    def test_a_client_without_a_name_is_there_for_its_pull_and_its_leases_only(self) -> None:
        desk = Desk()
        pull = desk.wait("made up", anonymous=True)
        assert desk.queue.wants(0, desk.now)
        desk.queue.cancel_pull(pull, desk.now)
        assert not desk.queue.wants(0, desk.now)
        desk.fetch(0)
        number = desk.wait("made up too", anonymous=True)
        desk.serve()
        assert desk.queue.wants(0, desk.now)
        desk.ack(lease(desk.answers[number]))
        assert not desk.queue.wants(0, desk.now)

    def test_a_client_that_has_left_keeps_it_open_no_longer(self) -> None:
        desk = Desk()
        desk.wait("A")
        desk.pass_time(1.0)
        desk.wait("B")
        desk.queue.leave("B", desk.now)
        assert desk.queue.wants(0, desk.now), "the other one waits still"
        desk.queue.leave("A", desk.now)
        assert not desk.queue.wants(0, desk.now), "not for the ten seconds of one that is silent"

    def test_it_is_shut_for_a_full_partition_until_something_is_settled(self) -> None:
        desk = Desk(limits=Limits(max_ack_pending=2))
        desk.assign(1)
        desk.fetch(0, 1)
        held = desk.pull("A", 2)
        assert (desk.queue.wants(0, desk.now), desk.queue.wants(1, desk.now)) == (False, True)
        desk.nack(leases(held)[0], delay=5.0)
        assert not desk.queue.wants(0, desk.now)
        desk.ack(leases(held)[1])
        assert desk.queue.wants(0, desk.now)

    def test_it_is_shut_for_all_when_the_bodies_are_too_many(self) -> None:
        desk = Desk(limits=Limits(buffer_bytes=100))
        desk.assign(1)
        desk.fetch(0, 1, size=50)
        held = desk.pull("A")
        assert not desk.queue.wants(1, desk.now)
        desk.ack(lease(held))
        assert desk.queue.bytes_held() == 50
        assert desk.queue.wants(1, desk.now)

    def test_it_is_shut_for_what_is_moving_or_elsewhere(self) -> None:
        desk = Desk()
        desk.wait("A")
        desk.queue.suspend()
        assert not desk.queue.wants(0, desk.now)
        assert not desk.queue.wants(5, desk.now)
        assert not desk.queue.offer(5, 0, 0, [])


class TestWhyEmpty:
    def why(self, desk: Desk, group: str = "stable") -> Empty:
        return desk.queue.why_empty(Pull(client="A", group=group), desk.now)

    def test_there_is_nothing(self) -> None:
        assert self.why(Desk()) is Empty.NO_MESSAGE

    def test_the_group_has_no_weight(self) -> None:
        assert self.why(Desk(), group="canary") is Empty.WEIGHT_ZERO

    def test_a_rebalance_is_under_way(self) -> None:
        desk = Desk()
        desk.queue.suspend()
        assert self.why(desk) is Empty.MOVING
        desk.queue.drop(0, desk.now)
        assert self.why(desk) is Empty.MOVING

    def test_the_buffer_is_full(self) -> None:
        desk = Desk(limits=Limits(buffer_bytes=10))
        desk.fetch(0, size=10)
        desk.pull("B")
        assert self.why(desk) is Empty.BUFFER_FULL

    def test_a_hoarder_has_its_one(self) -> None:
        desk = Desk()
        desk.fetch(*range(20))
        desk.pull("A", 10)
        desk.pass_time(ACK_WAIT)
        desk.pull("A", 10)
        assert self.why(desk) is Empty.CLIENT_LIMIT

    def test_all_is_paused(self) -> None:
        desk = Desk()
        desk.queue.paused = True
        desk.fetch(0)
        desk.wait("A")
        assert self.why(desk) is Empty.PAUSED
        assert desk.serve() == []

    def test_each_partition_that_has_more_is_full_by_its_own_limit(self) -> None:
        desk = Desk(limits=Limits(max_ack_pending=2, max_row_bytes=100))
        desk.assign(1)
        desk.fetch(0, 1)
        desk.pull("B", 2)
        desk[0].log_end = 5
        assert self.why(desk) is Empty.BUFFER_FULL
        desk[1].log_end = 5
        assert self.why(desk) is Empty.NO_MESSAGE, "the other one is to be read"
        desk[1].row_bytes = 100
        assert desk[1].full() == "max-row-bytes"
        assert self.why(desk) is Empty.BUFFER_FULL


class TestCouldServe:
    def test_what_is_held_counts_and_what_is_in_kafka_and_wanted(self) -> None:
        desk = Desk()
        desk.queue.set_weights({"stable": 1, "canary": 0})
        assert not desk.queue.could_serve("stable", desk.now)
        desk[0].log_end = 1
        assert not desk.queue.could_serve("stable", desk.now), "nobody is there, so it is not read"
        desk.wait("A")
        assert desk.queue.could_serve("stable", desk.now)
        assert not desk.queue.could_serve("canary", desk.now)
        desk.queue.paused = True
        assert not desk.queue.could_serve("stable", desk.now)
        desk.queue.paused = False
        desk.fetch(0)
        assert desk.queue.could_serve("stable", desk.now)
        assert not desk.queue.could_serve("canary", desk.now)
        assert desk.serve() == [("A", [0])]
        assert not desk.queue.could_serve("stable", desk.now), "it is handed out"


def test_counts_of_several_queues_are_added_up() -> None:
    one, other = Counters(delivered=3, acked=1, late=1), Counters(delivered=4, nacked=2)
    assert summed([one, other]) == Counters(delivered=7, acked=1, late=1, nacked=2)
    assert summed([]) == Counters()


class TestBytesHeld:
    def test_bodies_count_until_they_are_settled(self) -> None:
        desk = Desk(ledger(0, 2))
        desk.fetch(0, 1, 2, 3, size=7)
        assert desk[0].bytes_held == 21
        held = desk.pull("A", 2)
        desk.nack(leases(held)[0], delay=5.0)
        assert desk[0].bytes_held == 21
        desk.ack(batch(held))
        assert desk[0].bytes_held == 14
        desk.queue.drop(0, desk.now)
        assert desk.queue.bytes_held() == 0

    def test_a_message_acked_before_anyone_has_it_again_is_let_go(self) -> None:
        desk = Desk()
        desk.fetch(0, 1, 2, size=7)
        refs = leases(desk.pull("A", 3))
        row = desk[0].ledger.snapshot()
        desk.queue.drop(0, desk.now)
        desk.assign(0, row)
        desk.fetch(0, 1, 2, size=7)
        desk.ack(refs[1], refs[2])
        assert (len(desk[0].fresh), desk[0].bytes_held) == (1, 7)


class TestOldestHeld:
    def oldest(self, desk: Desk) -> int | None:
        message = desk[0].oldest_held()
        return message.offset if message is not None else None

    def test_wherever_it_stands(self) -> None:
        desk = Desk()
        assert self.oldest(desk) is None
        desk.fetch(0, 1)
        assert self.oldest(desk) == 0
        ref = lease(desk.pull("A"))
        assert self.oldest(desk) == 0
        desk.nack(ref)
        assert self.oldest(desk) == 0
        desk.nack(lease(desk.pull("B")), delay=5.0)
        assert self.oldest(desk) == 0
        desk.ack(ref)
        assert self.oldest(desk) == 1


def test_what_lags_is_what_is_not_settled_up_to_the_end_of_the_log() -> None:
    desk = Desk(ledger(10, 12))
    assert desk[0].lag == 0
    desk[0].log_end = 20
    assert desk[0].lag == 9
