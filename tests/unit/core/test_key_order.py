"""Order by key as the dispatcher does it: one message of a key at a time, whatever becomes of it."""

from __future__ import annotations

import pytest

from fanout_app.core.dispatcher import Limits
from fanout_app.core.lease import HandedOver
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.requests import Status, Verb
from support.messages import FakeMessage
from unit.core.desk import Desk, batch, entry, lease, leases, ledger, offsets

ORDERED = Limits(order_by_key=True, long_delay=10.0, max_deliver=3)


def ordered(keys: str, *, row: LedgerSnapshot | None = None, limits: Limits = ORDERED) -> Desk:
    """A desk with messages of these keys, one a letter; a dot has none."""
    desk = Desk(row, limits)
    fetch(desk, keys)
    return desk


def fetch(desk: Desk, keys: str) -> None:
    """The log holds these from offset 0 on; what the desk has not read yet of them comes."""
    asked = desk[0].next_offset
    found = [record(at, key) for at, key in enumerate(keys) if at >= asked]
    assert desk.queue.offer(0, asked, len(keys), found)


def record(offset: int, key: str) -> FakeMessage:
    return FakeMessage(offset, b"x", None if key == "." else key.encode())


def all_of(desk: Desk, client: str = "C") -> list[int]:
    """What a client gets that takes all there is."""
    desk.wait(client, 100)
    return [offset for _, offsets in desk.serve() for offset in offsets]


def read_asleep(desk: Desk, keys: str, *, found: bool = True) -> None:
    for number, due in desk.resting.to_read(10, desk.now).items():
        bodies = {offset: record(offset, keys[offset]) for offset in due} if found else {}
        desk.resting.awake(number, 0, due, bodies, desk.now)


def counts(desk: Desk) -> tuple[int, int, int]:
    """Held, blocked, bytes."""
    return desk[0].held, desk[0].blocked, desk[0].bytes_held


def test_the_first_of_each_key_and_all_without_a_key_are_handed_out() -> None:
    desk = ordered("aab.ab.c")
    assert counts(desk) == (8, 3, 8 + 6)
    assert all_of(desk) == [0, 2, 3, 6, 7]
    assert all_of(desk, "D") == []


def test_without_the_option_there_are_no_chains() -> None:
    desk = ordered("aaa", limits=Limits())
    assert desk[0].key_order is None
    assert desk[0].blocked == 0
    assert all_of(desk) == [0, 1, 2]


def test_the_next_of_a_key_goes_out_when_the_one_before_is_acked() -> None:
    desk = ordered("aaa")
    first = desk.pull("A", 10)
    assert offsets(first) == [0]
    desk.wait("B", 10)
    assert desk.serve() == []
    assert desk.ack(lease(first)) == [Status.DONE]
    assert desk.serve() == [("B", [1])]
    assert counts(desk) == (2, 1, 4)


def test_a_whole_answer_that_is_acked_frees_the_next_of_each_of_its_keys() -> None:
    desk = ordered("abcabc")
    desk.ack(batch(desk.pull("A", 10)))
    assert all_of(desk) == [3, 4, 5]


@pytest.mark.parametrize("delay", [0.0, 5.0, 60.0])
def test_a_nacked_message_keeps_its_key_until_it_is_handled(delay: float) -> None:
    desk = ordered("aa")
    desk.nack(lease(desk.pull("A")), delay)
    if delay:
        assert all_of(desk, "B") == []
    desk.pass_time(delay)
    read_asleep(desk, "aa")
    again = desk.pull("D") if not delay else None
    got = offsets(again) if again else [offset for _, some in desk.serve() for offset in some]
    assert got == [0]
    assert all_of(desk, "C") == []
    for answer in [again] if again else list(desk.answers.values()):
        desk.ack(lease(answer))
    assert [offset for _, some in desk.serve() for offset in some] == [1]


def test_an_expired_lease_keeps_the_key_and_its_late_ack_frees_it() -> None:
    desk = ordered("aaa")
    late = desk.pull("A", ack_wait=1.0)
    desk.pass_time(1.0)
    again = desk.pull("B")
    assert offsets(again) == [0]
    assert desk.ack(lease(late)) == [Status.LATE]
    assert all_of(desk) == [1], "the first one is handled, though B still works at it"
    assert desk.ack(lease(again)) == [Status.ALREADY_SETTLED]
    assert all_of(desk, "D") == [], "and settled only once"


def test_a_late_ack_frees_what_waits_for_a_message_that_rests_or_sleeps() -> None:
    for delay in (0.0, 5.0, 60.0):
        desk = ordered("aa")
        answer = desk.pull("A")
        desk.nack(lease(answer), delay)
        desk.settle(Verb.ACK, entry(lease(answer)))
        again = all_of(desk, "B")
        # Nacked and acked by one token: what a client says last of a lease that has ended counts as a late ack.
        assert again == [1], delay
        assert counts(desk) == (1, 0, 2)


def test_a_message_that_comes_back_uncounted_keeps_its_key() -> None:
    desk = ordered("aa")
    answer = desk.pull("A")
    desk.queue.release(answer, desk.now)
    assert all_of(desk) == [0]
    assert desk.queue.leave("C", desk.now) is not None
    assert all_of(desk, "D") == [0]


def test_a_rejected_message_keeps_its_key_until_it_is_put_away() -> None:
    desk = ordered("aa")
    desk.settle(Verb.REJECT, entry(lease(desk.pull("A"))))
    assert all_of(desk, "B") == []
    for rejected, run in desk.settling.rejects:
        desk.settling.rejected(rejected, run, run.messages[0].offset)
    assert [offset for _, some in desk.serve() for offset in some] == [1]


def test_a_dead_letter_keeps_its_key_until_it_is_put_away() -> None:
    desk = ordered("aa")
    for client in "ABA":
        desk.nack(lease(desk.pull(client)), 0.0)
    (spent,) = desk.resting.spent()
    assert all_of(desk) == []
    assert desk.resting.put_away(spent)
    assert [offset for _, some in desk.serve() for offset in some] == [1]
    assert counts(desk) == (1, 0, 2)


def test_what_an_earlier_owner_used_up_is_given_up_on_when_it_is_its_turn() -> None:
    desk = ordered("aaa", row=ledger(0, failures=[(1, 3)]))
    first = desk.pull("A")
    assert desk.resting.spent() == []
    desk.ack(lease(first))
    (spent,) = desk.resting.spent()
    assert all_of(desk) == []
    assert counts(desk) == (2, 1, 4)
    desk.resting.put_away(spent)
    assert [offset for _, some in desk.serve() for offset in some] == [2]


def test_what_is_to_be_handed_out_alone_is_so_when_it_is_its_turn() -> None:
    desk = ordered("aba", row=ledger(0, failures=[(2, 2)]))
    desk.ack(lease(desk.pull("A")))
    fetch(desk, "abac")
    desk.wait("B", 10)
    desk.wait("C", 10)
    desk.wait("D", 10)
    assert desk.serve() == [("B", [1]), ("C", [2]), ("D", [3])]


def test_a_late_ack_of_a_blocked_message_takes_it_out_of_its_chain() -> None:
    desk = ordered("aaaa")
    first = desk.pull("A")
    # A token of an owner before: it had handed this one out and was killed before it wrote a row.
    assert desk.ack(lease(first)._replace(offset=2, batch=99)) == [Status.LATE]
    assert counts(desk) == (3, 2, 6)
    desk.ack(lease(first))
    second = desk.pull("B")
    assert offsets(second) == [1]
    desk.ack(lease(second))
    assert all_of(desk) == [3]


def test_a_message_that_sleeps_and_exists_no_more_frees_its_key() -> None:
    desk = ordered("aa")
    desk.nack(lease(desk.pull("A")), 60.0)
    desk.pass_time(60.0)
    desk.wait("B", 10)
    read_asleep(desk, "aa", found=False)
    assert desk.serve() == [("B", [1])]
    assert desk.queue.counters.lost_to_retention == 1


def test_leases_handed_over_keep_their_keys_from_the_fetch_that_passes_them() -> None:
    desk = Desk(limits=ORDERED)
    leased = HandedOver(first=0, span=1, left=10.0, client="A", batch=77)
    resting = HandedOver(first=1, span=1, left=60.0, client="A", delivery_count=1)
    assert desk.queue.take_over(0, [leased, resting], desk.now) == 1
    fetch(desk, "abab.")
    assert all_of(desk) == [4]
    (others,) = desk.answers.values()
    assert desk.ack(lease(others)._replace(offset=0, batch=77)) == [Status.DONE]
    second = desk.pull("D", 10)
    assert offsets(second) == [2]
    desk.ack(lease(others), lease(second))
    desk.pass_time(60.0)
    desk.wait("E", 10)
    read_asleep(desk, "abab.")
    assert desk.serve() == [("E", [1])]


def test_one_handed_over_that_is_settled_before_a_fetch_passes_it_keeps_nothing() -> None:
    desk = Desk(limits=ORDERED)
    desk.queue.take_over(0, [HandedOver(first=0, span=1, left=10.0, client="A", batch=77)], desk.now)
    fetch(desk, "")
    desk.queue.leases.settle_one(0, 0, desk.now)
    fetch(desk, "aa")
    assert all_of(desk) == [1]


def test_several_of_a_key_that_were_handed_over_are_all_waited_for() -> None:
    """An owner without this order has handed them out."""
    desk = Desk(limits=ORDERED)
    desk.queue.take_over(0, [HandedOver(first=0, span=2, left=10.0, client="A", batch=77)], desk.now)
    fetch(desk, "aaa")
    desk.queue.leases.settle_one(0, 0, desk.now)
    assert all_of(desk) == []
    desk.queue.leases.settle_one(0, 1, desk.now)
    assert [offset for _, some in desk.serve() for offset in some] == [2]


def test_who_waits_longest_is_served_first_when_keys_come_free() -> None:
    desk = ordered("abcdaefg")
    desk.ack(lease(desk.pull("A")))
    fetch(desk, "abcdaefgh")
    assert offsets(desk.pull("B", 2)) == [1, 2]
    assert desk[0].oldest_held() == desk[0].in_flight[1].message(1)
    assert all_of(desk) == [3, 4, 5, 6, 7, 8]


def test_a_large_message_that_comes_free_counts_for_what_it_is() -> None:
    desk = Desk(limits=ORDERED)
    sizes = {0: 1, 1: 500, 2: 1, 3: 1}
    records = [FakeMessage(at, b"x" * size, b"a" if at < 2 else b"%d" % at) for at, size in sizes.items()]
    desk.queue.offer(0, 0, 4, records)
    first = desk.pull("A", 3)
    assert offsets(first) == [0, 2, 3]
    desk.queue.offer(0, 4, 5, [FakeMessage(4, b"x", b"b")])
    desk.ack(leases(first)[0])
    desk.wait("B", 2, max_bytes=100)
    assert desk.serve() == [("B", [1])]


def test_what_came_free_between_others_is_kept_when_lanes_are_laid_anew() -> None:
    desk = ordered("abcdaefg")
    desk.ack(lease(desk.pull("A")))
    assert [message.offset for message in desk[0].fresh] == [*range(1, 8)]
    desk.queue.set_weights({"stable": 1, "canary": 1}, "key")
    assert desk.serve() == []
    desk.queue.set_weights({"stable": 1}, "message")
    assert all_of(desk) == [*range(1, 8)]


def test_what_came_free_between_others_can_be_settled_where_it_is() -> None:
    desk = ordered("abcdaefg")
    first = desk.pull("A")
    desk.ack(lease(first), lease(first)._replace(offset=4, batch=99), lease(first)._replace(offset=7, batch=99))
    assert counts(desk) == (5, 0, 10)
    assert all_of(desk) == [1, 2, 3, 5, 6]


def test_what_came_free_between_others_may_be_the_oldest_that_is_held() -> None:
    desk = ordered("a.a.")
    first = desk.pull("A")
    desk.ack(lease(first))
    desk.ack(lease(desk.pull("A")))
    oldest = desk[0].oldest_held()
    assert oldest is not None
    assert oldest.offset == 2


def test_a_settled_key_leaves_nothing_behind() -> None:
    desk = ordered("abcabc" + "." * 3)
    for _ in range(2):
        desk.ack(batch(desk.pull("A", 100)))
    order = desk[0].key_order
    assert order is not None
    assert (order._chain_of, order._out, order._blocked, order.blocked) == ({}, {}, {}, 0)
    assert counts(desk) == (0, 0, 0)
    assert desk[0].ledger.floor == 9


def test_a_partition_that_is_dropped_forgets_its_chains() -> None:
    desk = ordered("aa")
    partition = desk[0]
    desk.queue.drop(0, desk.now)
    assert (partition.held, partition.bytes_held) == (0, 0)
    desk.assign(0)
    fetch(desk, "aa")
    assert all_of(desk) == [0]


def test_the_first_of_a_key_is_read_again_though_the_buffer_is_full_of_what_waits_for_it() -> None:
    desk = ordered("aaaaaa", limits=Limits(order_by_key=True, buffer_bytes=10))
    desk.nack(lease(desk.pull("A")), 60.0)
    assert desk[0].bytes_held == 10
    desk.pass_time(60.0)
    desk.wait("B", 10)
    assert desk.resting.to_read(100, desk.now) == {0: [0]}


@pytest.mark.parametrize(("keys", "wanted"), [("a.", {}), ("aa.", {}), ("aa", {0: [0]})])
def test_other_sleepers_wait_for_room_in_the_buffer(keys: str, wanted: dict[int, list[int]]) -> None:
    """Those that nobody waits for, and all while there is something else to hand out."""
    desk = ordered(keys, limits=Limits(order_by_key=True, buffer_bytes=1))
    desk.nack(lease(desk.pull("A")), 60.0)
    desk.pass_time(60.0)
    desk.wait("B", 10)
    assert desk.resting.to_read(100, desk.now) == wanted


def test_blocked_messages_fill_the_window() -> None:
    desk = ordered("aaab", limits=Limits(order_by_key=True, max_ack_pending=4))
    assert desk[0].full() == "max-ack-pending"
    answer = desk.pull("A", 10)
    assert offsets(answer) == [0, 3]
    order = desk[0].key_order
    assert order is not None
    assert order.waited_for() == 0
    desk.ack(leases(answer)[0])
    assert desk[0].full() is None
    assert order.waited_for() == 1


def test_one_without_a_key_that_was_handed_over_is_in_no_chain() -> None:
    desk = Desk(limits=ORDERED)
    desk.queue.take_over(0, [HandedOver(first=0, span=1, left=10.0, client="A", batch=77)], desk.now)
    fetch(desk, ".a")
    assert all_of(desk) == [1]
    desk.queue.leases.settle_one(0, 0, desk.now)
    assert desk[0].ledger.floor == 1


def test_the_last_blocked_one_of_a_key_that_is_taken_out_leaves_nothing_behind() -> None:
    desk = ordered("aab")
    first = desk.pull("A")
    desk.ack(lease(first)._replace(offset=1, batch=99))
    assert counts(desk) == (2, 0, 4)
    desk.ack(lease(first), lease(first)._replace(offset=2, batch=99))
    order = desk[0].key_order
    assert order is not None
    assert (order._chain_of, order._out, order._blocked) == ({}, {}, {})
    assert desk[0].ledger.floor == 3


def test_an_ack_of_what_was_not_fetched_yet_is_no_matter_of_chains() -> None:
    """A token of an owner before, which had read further."""
    desk = ordered("aa")
    first = desk.pull("A")
    assert desk.ack(lease(first)._replace(offset=3, batch=99)) == [Status.LATE]
    fetch(desk, "aaaa")
    for expected in (1, 2):
        desk.ack(lease(first))
        first = desk.pull("B")
        assert offsets(first) == [expected]
    desk.ack(lease(first))
    assert desk[0].ledger.floor == 4
