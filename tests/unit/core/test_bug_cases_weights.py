"""D8: a canary whose weight is zero, then one, then zero again."""

from __future__ import annotations

from collections import Counter

from fanout_app.core.requests import LeaseRef, Status
from unit.core.desk import Desk, lease

MESSAGES = 200
GROUPS = {"A": "stable", "B": "stable", "C": "canary"}


class Busy:
    """Two stable clients and a canary that poll all the time; the stable ones ack at once, the canary holds."""

    def __init__(self, weights: dict[str, int]) -> None:
        self.desk = Desk()
        self.desk.queue.set_weights(weights)
        self.pulls = {client: self.desk.wait(client, group=group) for client, group in GROUPS.items()}
        self.held: list[LeaseRef] = []

    def run(self, count: int, *, at_once: int = 1) -> list[str]:
        """So many messages come in, some at once; who got them, in this order.

        With more at once than stable hands, there are moments in which the canary is the only one that waits.
        """
        desk = self.desk
        served: list[str] = []
        while len(served) < count:
            if not desk[0].fresh:
                first = desk[0].next_offset
                desk.fetch(*range(first, first + at_once))
            handouts = desk.serve()
            assert handouts
            for client, offsets in handouts:
                served += [client] * len(offsets)
                ref = lease(desk.answers.pop(self.pulls[client]))
                if client == "C":
                    self.held.append(ref)
                else:
                    assert desk.ack(ref) == [Status.DONE]
                self.pulls[client] = desk.wait(client, group=GROUPS[client])
        return served


def test_d08_weight_zero_gets_nothing_one_gets_its_share_and_zero_again_may_still_ack() -> None:
    busy = Busy({"stable": 100, "canary": 0})
    assert Counter(busy.run(MESSAGES, at_once=5)) == {"A": 100, "B": 100}

    busy.desk.queue.set_weights({"stable": 100, "canary": 1})
    served = busy.run(MESSAGES)
    assert served[:101].count("C") == 1, "its share within one round"
    assert served[101:].count("C") == 1
    assert abs(served.count("A") - served.count("B")) <= 1

    busy.desk.queue.set_weights({"stable": 100, "canary": 0})
    assert Counter(busy.run(MESSAGES, at_once=5)) == {"A": 100, "B": 100}
    assert busy.desk.ack(*busy.held) == [Status.DONE, Status.DONE]
    assert busy.desk[0].ledger.floor == 3 * MESSAGES


def test_d08_a_group_without_a_weight_has_none_and_zero_is_not_taken_for_that_of_stable() -> None:
    busy = Busy({"stable": 100})
    assert Counter(busy.run(MESSAGES, at_once=5)) == {"A": 100, "B": 100}
    # The other way round: it is the weight that counts, not the name of the group, and zero is no default.
    for weights in ({"stable": 0, "canary": 1}, {"canary": 1}):
        assert Counter(Busy(weights).run(MESSAGES)) == {"C": MESSAGES}
