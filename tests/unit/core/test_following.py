"""Whom a worker follows, when it misses the leader, and who deposes whom."""

from __future__ import annotations

from fanout_app.core.following import FORGET_AFTER, Following, Leader
from fanout_app.core.roster import Heartbeat

TIMEOUT = 3.0


def leader(worker: str, epoch: int) -> Leader:
    return Leader(worker=worker, address=f"http://{worker}:6066", epoch=epoch)


def beat(worker: str, misses: int | None) -> Heartbeat:
    return Heartbeat(
        worker=worker,
        address=f"http://{worker}:6066",
        partitions=(),
        generation=1,
        waiting_messages=0,
        waiting_pulls=0,
        epoch=7,
        misses_epoch=misses,
    )


def following(me: str = "b") -> Following:
    """It has heard the leader ``z`` of epoch 7 at 10.0."""
    one = Following(me, TIMEOUT)
    assert one.heard(10.0, leader("z", 7))
    return one


def missing(me: str = "b") -> Following:
    """It misses epoch 7."""
    one = following(me)
    one.read_back(10.5, 10.4)
    one.read_back(13.6, 13.5)
    assert one.misses_epoch == 7
    return one


def test_before_the_first_record_there_is_no_leader() -> None:
    one = Following("b", TIMEOUT)
    assert one.leader(0.0) is None
    assert one.epoch is None
    one.read_back(0.0, 0.0)
    one.read_back(9.0, 9.0)
    assert one.misses_epoch is None, "there is no epoch that could be missed"


def test_the_leader_is_who_was_heard_lately() -> None:
    one = following()
    assert one.leader(12.9) == leader("z", 7)
    assert one.leader(13.0) is None
    assert one.epoch == 7


def test_a_smaller_epoch_is_ignored() -> None:
    one = following()
    assert one.heard(11.0, leader("a", 9))
    assert not one.heard(12.0, leader("z", 7))
    assert one.leader(12.0) == leader("a", 9)
    assert one.leader(14.0) is None, "what was ignored is no sign of life of the other one"


def test_an_epoch_that_nobody_was_heard_in_for_long_is_forgotten() -> None:
    one = following()
    assert not one.heard(9.9 + FORGET_AFTER, leader("a", 2))
    assert one.heard(10.0 + FORGET_AFTER, leader("a", 2)), "whoever hands epochs out was made anew"
    assert one.epoch == 2
    fresh = Following("b", TIMEOUT)
    fresh.heard_before(0.0, leader("z", 7))
    assert not fresh.heard(FORGET_AFTER - 0.1, leader("a", 2))
    assert fresh.heard(FORGET_AFTER, leader("a", 2))


def test_only_another_worker_is_a_change() -> None:
    one = following()
    one.heard(11.0, leader("z", 8))
    assert one.changes == 0
    one.heard(11.0, leader("a", 9))
    assert one.changes == 1


def test_what_stood_on_the_board_before_is_an_epoch_and_no_leader() -> None:
    one = Following("b", TIMEOUT)
    one.heard_before(0.0, leader("z", 7))
    assert one.leader(0.0) is None
    assert not one.heard(0.0, leader("y", 6))
    one.read_back(0.0, 0.0)
    one.read_back(3.0, 3.0)
    assert one.misses_epoch == 7, "a worker that came while nobody is heard votes too"


def test_two_own_heartbeats_so_far_apart_without_one_of_the_leader_miss_it() -> None:
    one = following()
    one.read_back(10.5, 10.4)
    one.read_back(13.6, 13.4)
    assert one.misses_epoch is None, "sent less than the timeout after the first was read"
    one.read_back(14.1, 13.5)
    assert one.misses_epoch == 7


def test_one_of_the_leader_between_them_begins_anew() -> None:
    one = following()
    one.read_back(10.5, 10.4)
    one.heard(12.0, leader("z", 7))
    one.read_back(12.5, 12.4)
    one.read_back(15.4, 15.4)
    assert one.misses_epoch is None
    one.read_back(15.5, 15.5)
    assert one.misses_epoch == 7
    one.heard(15.6, leader("z", 7))
    assert one.misses_epoch is None


def test_a_board_read_late_in_one_piece_makes_nobody_silent() -> None:
    one = following()
    one.read_back(10.5, 10.4)
    for tenth in range(100):
        one.heard(60.0, leader("z", 7))
        one.read_back(60.0, 10.5 + tenth / 2)
    assert one.misses_epoch is None


def test_a_stale_record_does_not_excuse_the_leader() -> None:
    one = following()
    one.heard(10.0, leader("a", 9))
    one.read_back(10.5, 10.4)
    one.heard(12.0, leader("z", 7))
    one.read_back(13.5, 13.5)
    assert one.misses_epoch == 9


def test_a_majority_and_the_lowest_name_depose() -> None:
    assert missing("b").to_depose([beat("b", None), beat("c", 7), beat("z", None)]) == 7, "its own last word is old"
    assert missing("b").to_depose([beat("a", None), beat("b", 7), beat("c", 7)]) == 7, "a does not miss it"
    assert missing("c").to_depose([beat("b", 7), beat("c", 7), beat("d", 7)]) is None
    assert missing("b").to_depose([beat("b", 7)]) == 7, "nobody else is heard at all"


def test_no_majority_no_deposition() -> None:
    assert missing("b").to_depose([beat("b", 7), beat("c", None)]) is None, "half is no majority"
    assert missing("b").to_depose([beat("b", 7), beat("c", 6), beat("d", 9)]) is None, "other epochs are other votes"
    assert following("b").to_depose([beat("b", None), beat("c", 7), beat("d", 7)]) is None


def test_a_record_of_an_epoch_that_is_over_is_ignored_though_it_stood_there_before() -> None:
    one = following("b")
    one.heard_before(10.0, leader("a", 3))
    assert one.epoch == 7
    one.heard_before(10.0, leader("a", 8))
    assert one.epoch == 8
