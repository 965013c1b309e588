"""Whether a worker's memory grows, on weights written by hand; and how a process is weighed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.histories.events import AnyEvent, Began, Weighed
from support.histories.memory import memory
from support.histories.weighing import resident_kib


def weighed(worker: int, lived: int, *, growing: float = 0.0, born: float = 0.0) -> list[AnyEvent]:
    """Up to 100 MiB within 40 s; by so much a second after that."""
    return [
        Weighed(
            at=born + second,
            worker=worker,
            rss_kib=int(1024 * (60 + min(second, 40) + max(0, second - 40) * growing)),
        )
        for second in range(0, lived, 2)
    ]


def began(*, spares_first: bool = True) -> Began:
    return Began(at=0.0, plan={"seed": 1, "spares_first": spares_first})


def test_what_a_worker_takes_in_its_warm_up_is_no_growth() -> None:
    (worker,) = memory([began(), *weighed(1, 200)])
    assert (worker.warm_kib, worker.end_kib, worker.grew) == (102_400, 102_400, False)


@pytest.mark.parametrize(("growing", "grew"), [(0.15, False), (0.25, True)])
def test_more_than_a_fifth_is_growth(growing: float, grew: bool) -> None:
    (worker,) = memory([began(), *weighed(1, 200, growing=growing)])
    assert worker.judged
    assert worker.grew is grew


def test_one_large_moment_is_none() -> None:
    events = [began(), *weighed(1, 200), Weighed(at=199.5, worker=1, rss_kib=900_000)]
    (worker,) = memory(events)
    assert not worker.grew


def test_who_is_not_there_all_the_time_is_judged_when_it_lived_for_five_minutes() -> None:
    short, long = memory(
        [began(), *weighed(2, 290, growing=1.0), *weighed(3, 310, growing=1.0, born=50.0), *weighed(4, 100)]
    )
    assert (short.worker, short.judged, short.grew) == (2, False, False)
    assert (long.worker, long.judged, long.grew) == (3, True, True)
    assert long.lived == 308.0


def test_where_nobody_is_spared_the_first_is_like_the_others() -> None:
    (worker,) = memory([began(spares_first=False), *weighed(1, 200, growing=1.0)])
    assert not worker.judged


def test_a_process_is_weighed_while_it_is_there() -> None:
    own = resident_kib(os.getpid())
    assert own is not None
    assert own > 10_000
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert resident_kib(child.pid) is None
    child.wait()
    assert resident_kib(child.pid) is None
