"""What is done to workers and servers while clients work."""

from __future__ import annotations

import asyncio

from support.histories.crowd import Crowd
from support.histories.events import Struck
from support.histories.plan import Strike
from support.histories.recorder import Recorder
from support.stack import Stack

_ENDS_ONE = frozenset({"kill -9", "SIGTERM", "worker removed"})


async def strike(recorder: Recorder, stack: Stack, crowd: Crowd, strike: Strike) -> None:
    """Do it, and return when it is over."""
    await asyncio.sleep(strike.after)
    number = _target(crowd, strike)
    recorder.write(Struck(at=recorder.now(), trouble=strike.trouble, worker=number))
    if strike.trouble.startswith(("broker", "zookeeper")):
        await _strike_server(stack, strike)
    else:
        await _strike_workers(crowd, strike, number)
    recorder.write(Struck(at=recorder.now(), trouble=strike.trouble, worker=number, over=True))


def _target(crowd: Crowd, strike: Strike) -> int:
    """The worker that it is done to; 0: not one in particular."""
    if strike.trouble in _ENDS_ONE:
        return crowd.mortal(strike.which)
    return crowd.number(strike.which) if strike.trouble == "SIGSTOP" else 0


async def _strike_workers(crowd: Crowd, strike: Strike, number: int) -> None:
    match strike.trouble:
        case "kill -9":
            crowd.kill(number)
            await asyncio.sleep(strike.lasts)
            await crowd.start()
        case "SIGTERM":
            await crowd.stop(number)
            await asyncio.sleep(strike.lasts)
            await crowd.start()
        case "SIGSTOP":
            worker = crowd.there[number]
            worker.pause()
            await asyncio.sleep(strike.lasts)
            worker.resume()
        case "worker added":
            await crowd.start()
        case "worker removed":
            await crowd.stop(number)
        case "rolling restart":
            for each in crowd.mortals():
                await crowd.stop(each)
                await crowd.start()


async def _strike_server(stack: Stack, strike: Strike) -> None:
    kind = strike.trouble.split()[0]
    count = len((stack.brokers if kind == "broker" else stack.zookeepers).split(","))
    server = f"{'kafka' if kind == 'broker' else kind}-{strike.which % count + 1}"
    hurt, heal = (stack.pause, stack.resume) if strike.trouble.endswith("paused") else (stack.kill, stack.start)
    await asyncio.to_thread(hurt, server)
    await asyncio.sleep(strike.lasts)
    await asyncio.to_thread(heal, server)
