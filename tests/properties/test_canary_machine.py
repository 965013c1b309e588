"""The shares on a board that leaders write in turn, some of them late: what was answered holds, for all readers."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from fanout_app.core.canary import CanaryState, Wanted, put
from fanout_app.core.canary_board import CanaryBoard
from fanout_app.core.canary_row import CanaryRecord

NAMES = "abc"
names = st.sampled_from(NAMES)
#: The sign in the log that a leader has begun, as its record of another key is.
Begun = int


@dataclass
class One:
    """A worker: reads the log from its start on, and may lead."""

    board: CanaryBoard = field(default_factory=CanaryBoard)
    read_up_to: int = 0
    epoch: int | None = None
    announced: bool = False
    #: The epoch of the last leader it has read of.
    followed: int | None = None
    highest: int = 0
    #: What it has written and not been told of yet: (record, is anybody waiting for it).
    asked: CanaryRecord | None = None


class Canaries(RuleBasedStateMachine):
    """Time is not here: who leads is who was elected last, and only that one may answer."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[CanaryRecord | Begun] = []
        self.on_their_way: list[CanaryRecord] = []
        self.workers = {name: One() for name in NAMES}
        self.leader: str | None = None
        self.epoch = 0
        self.answered: list[str] = []
        self.parents: dict[str, str] = {}
        self.wishes = 0

    # What happens ----------------------------------------------------------------------------------------------------

    @rule(name=names)
    def another_leads(self, name: str) -> None:
        """The one before may not know it, and what it has written may come yet."""
        self.epoch += 1
        self.leader = name
        one = self.workers[name]
        one.epoch, one.announced, one.asked = self.epoch, False, None
        self.log.append(self.epoch)

    @rule(name=names, most=st.integers(1, 5))
    def reads(self, name: str, most: int) -> None:
        one = self.workers[name]
        for record in self.log[one.read_up_to : one.read_up_to + most]:
            one.read_up_to += 1
            if isinstance(record, Begun):
                one.followed = record
                one.board.look(record)
                one.announced = one.announced or record == one.epoch
            else:
                one.board.read(record, one.followed)
        self._answer(name)

    def _answer(self, name: str) -> None:
        one = self.workers[name]
        if name == self.leader and one.asked is not None and one.board.record == one.asked:
            self.answered.append(one.asked.state.tag)
            one.asked = None

    @rule(name=names, at_once=st.booleans())
    def is_asked_for_a_change(self, name: str, at_once: bool) -> None:
        """It leads, or thinks so; the record comes at once, or when it comes."""
        one = self.workers[name]
        if one.epoch is None or not one.announced:
            return
        self.wishes += 1
        before = one.board.state
        state = put(before, Wanted(weights={"stable": self.wishes}))
        one.highest = max(one.highest + 1, state.version)
        state = replace(state, version=one.highest, made_in=one.epoch)
        assert state.tag not in self.parents, "a tag names one state"
        self.parents[state.tag] = before.tag
        one.asked = CanaryRecord(one.epoch, state)
        self._write(one.asked, at_once=at_once)

    @rule(name=names, at_once=st.booleans())
    def sees_that_it_stands(self, name: str, at_once: bool) -> None:
        one = self.workers[name]
        if one.epoch is not None and one.announced:
            due = one.board.to_write(one.epoch)
            if due is not None:
                self._write(due, at_once=at_once)

    def _write(self, record: CanaryRecord, *, at_once: bool) -> None:
        if at_once:
            self.log.append(record)
        else:
            self.on_their_way.append(record)

    @precondition(lambda self: self.on_their_way)
    @rule(which=st.integers(0, 100), lost=st.booleans())
    def a_late_record_comes_or_never_does(self, which: int, lost: bool) -> None:
        record = self.on_their_way.pop(which % len(self.on_their_way))
        if not lost:
            self.log.append(record)

    @rule(name=names)
    def restarts(self, name: str) -> None:
        """And reads what stood there before, none of which is a sign of life."""
        one = self.workers[name] = One()
        for record in self.log:
            if not isinstance(record, Begun):
                one.board.read(record, None)
        one.read_up_to = len(self.log)
        if self.leader == name:
            self.leader = None

    # What a machine of chances would seldom come to --------------------------------------------------------------

    @rule(name=names)
    def another_leads_and_knows_all(self, name: str) -> None:
        self.another_leads(name)
        self.reads(name, len(self.log))

    @rule(name=names, wishes=st.integers(0, 2))
    def the_leader_is_stopped_between_the_look_and_the_write(self, name: str, wishes: int) -> None:
        """And what it has written comes when another one has answered for what holds."""
        if self.leader in (None, name):
            return
        assert self.leader is not None
        self.is_asked_for_a_change(self.leader, at_once=False)
        self.another_leads_and_knows_all(name)
        self.sees_that_it_stands(name, at_once=True)
        for _ in range(wishes):
            self.is_asked_for_a_change(name, at_once=True)
            self.reads(name, len(self.log))
        self.reads(name, len(self.log))
        held = self.workers[name].board.state
        if self.on_their_way:
            self.log.append(self.on_their_way.pop())
            self.reads(name, len(self.log))
        assert self.workers[name].board.state == held, "what comes of an epoch that is over changes nothing"

    @rule()
    def the_leader_does_all_its_duties(self) -> None:
        if self.leader is not None:
            self.reads(self.leader, len(self.log))
            self.sees_that_it_stands(self.leader, at_once=True)
            self.reads(self.leader, len(self.log))

    # What must be so -------------------------------------------------------------------------------------------------

    @invariant()
    def the_leader_knows_all_that_was_answered(self) -> None:
        if self.leader is None or not self.workers[self.leader].announced or not self.answered:
            return
        assert self.answered[-1] in self._ancestors(self.workers[self.leader].board.state)

    def _ancestors(self, state: CanaryState) -> list[str]:
        tags = [state.tag]
        while tags[-1] in self.parents:
            tags.append(self.parents[tags[-1]])
        return tags

    def teardown(self) -> None:
        """Once a leader has seen that it stands, all hold the same, and so does who begins then."""
        self.log += self.on_their_way
        self.on_their_way.clear()
        self.another_leads("a")
        for _ in range(2):
            for name in NAMES:
                self.reads(name, len(self.log))
            self.sees_that_it_stands("a", at_once=True)
        for name in NAMES:
            self.reads(name, len(self.log))
        held = self.workers["a"].board.state
        if self.answered:
            assert self.answered[-1] in self._ancestors(held)
        assert [one.board.state for one in self.workers.values()] == [held] * len(NAMES)
        self.restarts("b")
        assert self.workers["b"].board.state == held
        after_compaction = CanaryBoard()
        for record in [record for record in self.log if not isinstance(record, Begun)][-1:]:
            after_compaction.read(record, None)
        assert after_compaction.state == held


TestCanaries = Canaries.TestCase
