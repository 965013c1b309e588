"""The example of a canary tells its story without anybody's help."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Half a minute where nothing else runs.
WITHIN = 120.0


@pytest.mark.long
async def test_the_new_release_is_raised_fails_and_is_taken_out_and_every_order_is_booked() -> None:
    story = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "examples.canary", cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN):
            told = (await story.communicate())[0].decode()
    finally:
        if story.returncode is None:
            story.terminate()
            await story.communicate()
    assert story.returncode == 0, told
    weights = re.findall(r"canary has (\d+) %, verdict (\S+)", told)
    seen = list(dict.fromkeys(weight for weight, _ in weights))
    assert seen == ["0", "5", "25"], told
    assert weights[-1] == ("0", "failing:")
    ((written, booked),) = re.findall(r"(\d+) orders written, (\d+) booked", told)
    assert written == booked
    assert "0 were booked twice" in told
