"""The demo shows a take-over without a terminal, and ends by itself."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Half a minute where nothing else runs, most of it waiting for the sessions of the killed worker and for servers that
#: start.
WITHIN = 120.0


async def test_three_workers_one_killed_nothing_lost() -> None:
    demo = await asyncio.create_subprocess_exec(
        ROOT / "bin/demo", "--workers", "3", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(WITHIN):
            shown = (await demo.communicate())[0].decode()
    finally:
        if demo.returncode is None:
            demo.terminate()
            await demo.communicate()
    assert demo.returncode == 0, shown

    owned = re.findall(r"(worker \d) at http://\S+ owns partitions (\d) and (\d)(, leads)?", shown)
    assert sorted(partition for row in owned for partition in row[1:3]) == list("012345")
    ((leader, *lost, _),) = [row for row in owned if row[3]]

    turns = re.findall(r"^  ([ABC]) at worker \d got 'message \d'", shown, re.M)
    assert len(turns) == 9
    assert set(turns) == set("ABC")
    silent, other = re.findall(r"^  ([ABC]) at worker \d got 'one more'", shown, re.M)
    assert silent != other

    assert f"kill -9 {leader}: it leads, and owns partitions {' and '.join(lost)}" in shown
    others = re.findall(r"s after the kill (worker \d) hands out partition (\d)", shown)
    assert sorted(partition for _, partition in others) == lost
    assert leader not in dict(others)
    ((epoch, before),) = re.findall(r"leads, epoch (\d+) after (\d+)", shown)
    assert int(epoch) > int(before)
    ((written, acked),) = re.findall(r"(\d+) messages written, (\d+) acked; \d+ came twice, 0 after", shown)
    assert written == acked
    assert "left over: 0 waiting, 0 in flight" in shown
