"""What the runtime needs of the world outside, as Protocols: adapters implement them, `faust_app` joins the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from fanout_app.core.errors import FanoutError, UnavailableError
from fanout_app.core.group_row import Slot
from fanout_app.core.ledger import LedgerSnapshot
from fanout_app.core.message import Message
from fanout_app.core.requests import SeekTo
from fanout_app.core.start import Start


class SourceError(UnavailableError):
    """Kafka did not answer; the same may go well a moment later."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        """``refused``: it did answer, and to go on asking may well be of no use."""
        super().__init__(message)
        self.refused = refused


class WriteError(FanoutError):
    """A row was not acknowledged; whether it is in the changelog is not known."""

    def __init__(self, message: str, *, refused: bool = False) -> None:
        """``refused``: Kafka did answer, and to go on trying may well be of no use."""
        super().__init__(message)
        self.refused = refused


class ElectionError(UnavailableError):
    """Who leads could not be asked; what was known before runs out by its time."""


class Fetch(Protocol):
    """One fetch of one partition, see `fanout_app.kafka.fetches.FetchedBatch`."""

    partition: int
    asked: int
    after: int
    messages: list[Message]


class Source(Protocol):
    """The topic. Nothing here is called while the partition is suspended by a rebalance."""

    async def seek(self, partition: int, offset: int) -> None:
        """Read on from this offset. Raises SourceError if Kafka does not answer."""

    async def log_start(self, partition: int) -> int:
        """The lowest offset the log has. Raises SourceError if Kafka does not answer."""

    async def log_ends(self, partitions: Iterable[int]) -> dict[int, int]:
        """Where the logs end now. Raises SourceError if Kafka does not answer."""

    async def topic_id(self) -> bytes:
        """What the topic has got another one of when it was made anew. Raises SourceError if Kafka does not answer."""

    async def offsets_at(self, partitions: Iterable[int], to: SeekTo) -> dict[int, int]:
        """The offsets that a seek names, within what the logs have. Raises SourceError if Kafka does not answer."""

    async def commit(self, partition: int, floor: int, era: int) -> None:
        """Make this the group's offset, marked as ours. Raises SourceError if the coordinator does not take it."""

    def wake_up(self) -> None:
        """What is wanted has changed: do not finish the wait that is under way."""

    def member(self) -> str:
        """Our name in the consumer group; another one means that we were out of it for a while."""


class Bodies(Protocol):
    """Reads messages again that are known by their offsets, see `fanout_app.kafka.log_reader`."""

    async def read(self, partition: int, offsets: Sequence[int]) -> dict[int, Message]:
        """The messages at these ascending offsets; one that is not in the answer does not exist any more.

        Raises:
            SourceError: Kafka does not answer.
        """


class Starts(Protocol):
    """Where partitions start, see `fanout_app.kafka.start_offsets`."""

    async def find(self, partitions: set[int]) -> dict[int, Start]: ...


class Ownership(Protocol):
    """Whether the partitions assigned to this worker are still its own."""

    def term(self) -> int:
        """A number that changes with every rebalance."""

    def holds(self, term: int, now: float) -> bool:
        """No rebalance has begun since ``term``, and the coordinator has confirmed us recently enough."""

    def trusted(self, now: float) -> bool:
        """The coordinator has confirmed us so recently that nobody else can own them, rebalance or not."""


class Terms(Ownership, Protocol):
    """Ownership that also has to be told when a rebalance is over."""

    def rebalance_ended(self, term: int) -> bool: ...


class LedgerStore(Protocol):
    """Where rows go."""

    async def write_row(self, partition: int, snapshot: LedgerSnapshot) -> int:
        """Write a partition's ledger, return when the changelog has it.

        Returns:
            The size of the row in bytes.

        Raises:
            WriteError: the write failed or timed out.
        """


class SlotStore(LedgerStore, Protocol):
    """Where rows of groups with a ledger of their own go too."""

    async def write_slot(self, partition: int, number: int, slot: Slot) -> int:
        """The same for one slot of a partition."""


class DeadLetterSink(Protocol):
    """Where messages go that nobody is to have again, see `fanout_app.kafka.dead_letters`."""

    async def put(
        self, partition: int, message: Message, *, delivery_count: int, reason: str, client: str, group: str = ""
    ) -> None:
        """Write it with ``acks=all``; ``group`` has a ledger of its own, and is to have the message back alone.

        Raises:
            SourceError: it was not acknowledged; the message must not be settled.
        """


class Switch(Protocol):
    """Remembers what an operator has switched, for all workers and the next start, see `fanout_app.kafka.switch`."""

    async def remember(self, *, paused: bool) -> bool:
        """Returns what holds now: somebody may have switched it back meanwhile.

        Raises:
            UnavailableError: Kafka does not take it.
        """


class Election(Protocol):
    """Decides who leads: a lock in ZooKeeper, or the consumer group where there is none.

    Epochs are numbers that grow with every change of leader.
    """

    #: Whether a leader that is not heard can be deposed here.
    votes: bool

    def start(self, look: Callable[[], None], suspended: Callable[[], None]) -> None:
        """Take part. In the loop are called: ``look`` when `held` may answer something else than before, and
        ``suspended`` when nothing that it answered before can be relied on."""

    async def held(self) -> int | None:
        """Ask now in which epoch this worker leads; None if it does not. Raises ElectionError: there is no answer."""

    async def resign(self) -> None:
        """Lead no more, and take part behind the others. Raises ElectionError."""

    async def depose(self, epoch: int) -> bool:
        """End this epoch and no other one, whosever it is; False if it is over. Raises ElectionError."""

    async def stop(self) -> None:
        """Take part no more. May be called again."""
