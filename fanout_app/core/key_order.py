"""The order of messages of one key: which of a partition's messages wait until an earlier one of their key is settled.

The unsettled messages of a key are its chain. Its first one is out: it stands wherever messages stand (fresh, with a
client, returned, resting, given up on). The later ones are blocked and stand here. However the first one is settled,
the next goes out then. A message without a key is in no chain.
A chain may have several that are out: what an owner without this order had handed out comes to us that way. Nothing
of the key goes out before all of these are settled.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter

from fanout_app.core.message import Message

_offset = attrgetter("offset")


class KeyOrder:
    """The chains of one partition. A key is known by its hash: those few that share one wait for one another.

    So a message whose body is not in memory costs the same however long its key is.
    """

    def __init__(self) -> None:
        #: The chain of each unsettled message with a key, by offset; of blocked ones too.
        self._chain_of: dict[int, int] = {}
        #: How many of a chain are out; one at least.
        self._out: dict[int, int] = {}
        #: Ascending by offset; none of them is empty. Most are short: a list takes a tenth of the room of a deque.
        self._blocked: dict[int, list[Message]] = {}
        #: How many are blocked, over all keys.
        self.blocked = 0

    def __repr__(self) -> str:
        return f"<KeyOrder chains={len(self._out)} blocked={self.blocked}>"

    def admit(self, messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
        """Messages that were fetched, ascending and each after all that were before: those that go out, and the rest.

        The rest is blocked from now on.
        """
        go_out: list[Message] = []
        blocked: list[Message] = []
        out, chain_of, waiting = self._out, self._chain_of, self._blocked
        for message in messages:
            if message.key is not None:
                chain = hash(message.key)
                chain_of[message.offset] = chain
                if chain in out:
                    blocked.append(message)
                    if chain in waiting:
                        waiting[chain].append(message)
                    else:
                        waiting[chain] = [message]
                    continue
                out[chain] = 1
            go_out.append(message)
        self.blocked += len(blocked)
        return go_out, blocked

    def is_out(self, message: Message) -> None:
        """A fetch has passed this one, which was handed over to us and stands somewhere already."""
        if message.key is not None:
            chain = hash(message.key)
            self._chain_of[message.offset] = chain
            self._out[chain] = self._out.get(chain, 0) + 1

    def discard(self, offset: int) -> Message | None:
        """Take this one out of the blocked ones, if it is one of them: it is settled before its turn."""
        chain = self._chain_of.get(offset)
        messages = self._blocked.get(chain) if chain is not None else None
        if chain is None or messages is None:
            return None
        at = bisect_left(messages, offset, key=_offset)
        if at == len(messages) or messages[at].offset != offset:
            return None
        message = messages[at]
        del messages[at]
        if not messages:
            del self._blocked[chain]
        del self._chain_of[offset]
        self.blocked -= 1
        return message

    def settled(self, offsets: Sequence[int]) -> list[Message]:
        """These are, and none of them is blocked; answers what goes out for it. Offsets of no chain are no fault."""
        freed: list[Message] = []
        for offset in offsets:
            chain = self._chain_of.pop(offset, None)
            if chain is None:
                continue
            left = self._out[chain] - 1
            if left:
                self._out[chain] = left
                continue
            messages = self._blocked.get(chain)
            if messages is None:
                del self._out[chain]
                continue
            freed.append(messages.pop(0))
            if not messages:
                del self._blocked[chain]
        self.blocked -= len(freed)
        return freed

    def lowest(self) -> Message | None:
        """The blocked one with the lowest offset."""
        return min((messages[0] for messages in self._blocked.values()), key=_offset, default=None)

    def waited_for(self) -> int | None:
        """The lowest offset of those that others of their key wait for. Looks at all: for people only."""
        blocked = self._blocked
        return min((offset for offset, chain in self._chain_of.items() if chain in blocked), default=None)
