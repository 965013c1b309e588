"""How clients work: each temper is a loop of pulling and settling that goes on until it is cancelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from support.histories.client import Batch, RecordedClient, Settle
from support.histories.tokens import Held, forgeries

Temper = Callable[[RecordedClient, random.Random], Awaitable[None]]

#: Who finds nobody there asks again after this.
_PAUSE = 0.1
_WAIT_MS = 1500
#: A worker that is left alone for so long has fetched more than any kernel takes.
_GROWING = 1.0
#: Nothing is nacked more often: the backoff would outlast the history.
_NACKED = 4


async def work(client: RecordedClient, temper: str, seed: int, failing: Collection[str] = ()) -> None:
    """For ever, whatever becomes of the worker meanwhile; ``failing``: groups that fail all they are given now."""
    dice = random.Random(seed)
    while True:
        await (fail if client.group in failing else TEMPERS[temper])(client, dice)


async def _pull(client: RecordedClient, *, max_messages: int, ack_wait_ms: int, settle: Settle | None = None) -> Batch:
    batch = await client.pull(wait_ms=_WAIT_MS, ack_wait_ms=ack_wait_ms, max_messages=max_messages, settle=settle)
    if batch.refused:
        await asyncio.sleep(_PAUSE)
    return batch


async def _ack(client: RecordedClient, held: Sequence[Held], *, durable: bool = True, elsewhere: bool = False) -> None:
    """Ack, and ask again as long as nobody knows."""
    left = list(held)
    for _ in range(20):
        if not left:
            return
        left = await client.settle(Settle(ack=left, durable=durable), elsewhere=elsewhere)
        if left:
            await asyncio.sleep(_PAUSE)


async def fast(client: RecordedClient, dice: random.Random) -> None:
    batch = await _pull(client, max_messages=dice.choice((5, 20, 50)), ack_wait_ms=5000)
    await _ack(client, batch.messages)


async def riding(client: RecordedClient, dice: random.Random) -> None:
    """Acks ride along with the next pull, by batch."""
    batch = await _pull(client, max_messages=20, ack_wait_ms=4000)
    while batch.messages:
        again = await _pull(client, max_messages=20, ack_wait_ms=4000, settle=Settle(batch=batch))
        # A batch is known at the owner that gave it only; what is acked lease by lease counts after a restart too.
        await _ack(client, again.unknown)
        batch = again


async def slow(client: RecordedClient, dice: random.Random) -> None:
    batch = await _pull(client, max_messages=dice.randint(1, 3), ack_wait_ms=3000)
    for held in batch.messages:
        await asyncio.sleep(dice.uniform(0.05, 0.4))
        await _ack(client, [held])


async def patient(client: RecordedClient, dice: random.Random) -> None:
    """Works for longer than it takes a partition to move, under a lease that lasts."""
    batch = await _pull(client, max_messages=dice.randint(1, 10), ack_wait_ms=9000)
    if batch.messages:
        await asyncio.sleep(dice.uniform(1.0, 6.0))
        await _ack(client, batch.messages)


async def forgetful(client: RecordedClient, dice: random.Random) -> None:
    """Never acks, under leases that outlast a move: whether they are kept shows in when the messages come again."""
    await _pull(client, max_messages=dice.randint(1, 3), ack_wait_ms=7000)
    await asyncio.sleep(dice.uniform(0.5, 2.0))


async def silent(client: RecordedClient, dice: random.Random) -> None:
    """Never acks."""
    await _pull(client, max_messages=dice.randint(1, 3), ack_wait_ms=dice.randint(300, 1500))
    await asyncio.sleep(dice.uniform(0.2, 0.8))


async def nacking(client: RecordedClient, dice: random.Random) -> None:
    """Nacks some by their leases, with and without a delay, and acks the rest by the batch, in one settle."""
    batch = await _pull(client, max_messages=6, ack_wait_ms=3000)
    nack = [held for held in batch.messages if dice.random() < 0.4 and held.delivery_count < _NACKED]
    delay_ms = dice.choice((None, 0, 300))
    if batch.messages:
        await client.settle(Settle(nack=nack, batch=batch, delay_ms=delay_ms))


async def extending(client: RecordedClient, dice: random.Random) -> None:
    batch = await _pull(client, max_messages=dice.randint(1, 4), ack_wait_ms=700)
    for _ in range(dice.randint(1, 3)):
        if batch.messages:
            await asyncio.sleep(dice.uniform(0.1, 0.5))
            await client.settle(Settle(extend=batch.messages, ack_wait_ms=dice.choice((400, 700, 1000))))
    if dice.random() < 0.7:
        await _ack(client, batch.messages)


async def dropping(client: RecordedClient, dice: random.Random) -> None:
    """Leaves before the answer, in it or behind it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(dice.choice((0.001, 0.003, 0.02, 0.5, 2.0))):
            batch = await _pull(client, max_messages=3, ack_wait_ms=dice.randint(400, 1200))
            await client.settle(Settle(ack=batch.messages))
    await asyncio.sleep(dice.uniform(0.05, 0.3))


async def late(client: RecordedClient, dice: random.Random) -> None:
    batch = await _pull(client, max_messages=dice.randint(1, 3), ack_wait_ms=300)
    await asyncio.sleep(dice.uniform(0.2, 1.0))
    await _ack(client, batch.messages)


async def twice(client: RecordedClient, dice: random.Random) -> None:
    """Acks twice, at once or one after the other."""
    batch = await _pull(client, max_messages=5, ack_wait_ms=3000)
    if batch.messages and dice.random() < 0.5:
        await asyncio.gather(_ack(client, batch.messages), _ack(client, batch.messages))
    else:
        await _ack(client, batch.messages)
        await _ack(client, batch.messages)


async def careless(client: RecordedClient, dice: random.Random) -> None:
    batch = await _pull(client, max_messages=10, ack_wait_ms=3000)
    await _ack(client, batch.messages, durable=False)


async def rejecting(client: RecordedClient, dice: random.Random) -> None:
    batch = await _pull(client, max_messages=4, ack_wait_ms=3000)
    reject = [held for held in batch.messages if dice.random() < 0.3]
    if reject:
        await client.settle(Settle(reject=reject))
    await _ack(client, [held for held in batch.messages if held not in reject])


async def borrowing(client: RecordedClient, dice: random.Random) -> None:
    """Settles what others hold, with their tokens, and tries some that nobody was given beside them."""
    await asyncio.sleep(dice.uniform(0.1, 0.5))
    theirs = client.pool.of_others(client.name)
    if not theirs:
        return
    some = dice.sample(theirs, min(3, len(theirs)))
    forged = forgeries(theirs, dice)
    match dice.choice(("ack", "nack", "extend", "forge")):
        case "ack":
            await client.settle(Settle(ack=[*some, *forged]))
        case "nack":
            await client.settle(Settle(nack=[held for held in some if held.delivery_count < _NACKED], delay_ms=0))
        case "extend":
            await client.settle(Settle(extend=[*some, *forged], ack_wait_ms=700))
        case _:
            await client.settle(Settle(nack=forged[:1], reject=forged[1:2], ack=forged[2:]))


async def elsewhere(client: RecordedClient, dice: random.Random) -> None:
    """Settles at another worker than it has pulled from, if there is one."""
    batch = await _pull(client, max_messages=dice.randint(1, 5), ack_wait_ms=3000)
    if batch.messages and dice.random() < 0.3:
        await client.settle(Settle(extend=batch.messages, ack_wait_ms=2000), elsewhere=True)
    await _ack(client, batch.messages, elsewhere=True)


async def unread(client: RecordedClient, dice: random.Random) -> None:
    """Resets its connection once, with most of a large answer unread, under a lease that nobody is to wait for."""
    # Somebody who is alive, so that the answer has grown large when it is asked for.
    await _ack(client, (await client.pull(wait_ms=0, ack_wait_ms=3000)).messages)
    while True:
        await asyncio.sleep(_GROWING)
        batch = await client.pull_unread(wait_ms=_WAIT_MS, ack_wait_ms=60_000, max_messages=20)
        if batch.unread:
            break
        # A busy worker has not fetched enough yet.
        await client.settle(Settle(nack=batch.messages, delay_ms=0))
    # Whatever it asks for later it may be handed, for all that anybody knows, when the history ends.
    await asyncio.Event().wait()


async def coming(client: RecordedClient, dice: random.Random) -> None:
    """Works for a while, and stays away for long enough to be forgotten, or nearly."""
    for _ in range(dice.randint(3, 10)):
        await fast(client, dice)
    await asyncio.sleep(dice.choice((1.0, 3.0, 6.0, 14.0)))


async def fail(client: RecordedClient, dice: random.Random) -> None:
    """Whatever it is given."""
    batch = await _pull(client, max_messages=dice.choice((1, 5)), ack_wait_ms=3000)
    if batch.messages:
        await client.settle(Settle(nack=batch.messages, delay_ms=0))


async def draining(client: RecordedClient, dice: random.Random) -> None:
    """Takes whatever there is, and acks it; waits long where there is nothing."""
    batch = await client.pull(wait_ms=4500, ack_wait_ms=5000, max_messages=100)
    if batch.refused:
        await asyncio.sleep(_PAUSE)
    await _ack(client, batch.messages)


TEMPERS: dict[str, Temper] = {
    "fast": fast,
    "riding": riding,
    "slow": slow,
    "patient": patient,
    "forgetful": forgetful,
    "silent": silent,
    "nacking": nacking,
    "extending": extending,
    "dropping": dropping,
    "late": late,
    "twice": twice,
    "careless": careless,
    "rejecting": rejecting,
    "borrowing": borrowing,
    "elsewhere": elsewhere,
    "unread": unread,
    "coming": coming,
    "draining": draining,
}
