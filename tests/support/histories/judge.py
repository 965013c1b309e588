"""The judge: what may not be in a history, one function a rule. Pure: a history in, a verdict out.

Rules for the rules: only what is certain is a fault. Whatever may have happened on the way, in an order that nobody
saw, counts for the worker. A duplicate is no fault (at least once), but for one that nothing explains.
"""

from __future__ import annotations

from collections.abc import Sequence

from support.histories import moves, rules_answers, rules_leases, rules_messages, rules_order, rules_shares
from support.histories.events import AnyEvent, Began
from support.histories.faults import Fault, Rule
from support.histories.lives import Life, lives
from support.histories.view import History

RULES: dict[str, Rule] = {
    "drained": rules_messages.drained,
    "lost": rules_messages.lost,
    "settled by nobody": rules_messages.settled_by_nobody,
    "acked and again": rules_messages.acked_again,
    "committed": rules_messages.committed,
    "never produced": rules_messages.never_produced,
    "deleted log": rules_messages.deleted_log,
    "two leases": rules_leases.two_leases,
    "cut by a move": moves.cut_by_a_move,
    "unexplained duplicate": rules_leases.unexplained_duplicate,
    "delivery count": rules_leases.delivery_count,
    "same client again": rules_leases.same_client_again,
    "genuine lease refused": rules_leases.genuine_lease_refused,
    "old lease accepted": rules_leases.old_lease_accepted,
    "forged lease accepted": rules_leases.forged_lease_accepted,
    "bad status": rules_answers.bad_status,
    "hung": rules_answers.hung,
    "not handed out": rules_answers.not_handed_out,
    "two owners": rules_answers.two_owners,
    "joined anew": rules_messages.joined_anew,
    "order by key": rules_order.order_by_key,
    "weight zero": rules_shares.weight_zero,
    "failed by a canary": rules_shares.failed_by_a_canary,
    "key of another group": rules_shares.key_of_another_group,
    "shares undone": rules_shares.shares_undone,
    "shares apart": rules_shares.shares_apart,
}


#: These are about no group in particular.
_OF_ALL = frozenset({"drained", "two owners"})


def views(events: Sequence[AnyEvent]) -> list[History]:
    """The parts of it that are judged each by itself: all of it or, of broadcast, what each group has to do with."""
    broadcast = any(isinstance(event, Began) and event.plan.get("delivery") == "broadcast" for event in events)
    parts: dict[Life | None, History] = {}
    for life in lives(events) if broadcast else ():
        parts[life] = History(events, life, before=parts.get(life.before))
    return [*parts.values()] or [History(events)]


def judge(events: Sequence[AnyEvent]) -> list[Fault]:
    """Every fault, by rule."""
    return judge_views(views(events))


def judge_views(views: Sequence[History]) -> list[Fault]:
    """The same, of one that has been put in order."""
    return [
        Fault(name, f"group {view.life.group}: {says}" if view.life else says, tuple(sorted(set(lines) - {0})))
        for name, rule in RULES.items()
        for view in (views[:1] if name in _OF_ALL else views)
        for says, lines in rule(view)
    ]


__all__ = ["RULES", "Fault", "Rule", "judge", "judge_views", "views"]
