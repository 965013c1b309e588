"""confluent-kafka in an environment of its own, for share groups in Python and for the producer of paced runs."""

from __future__ import annotations

import sys

from benchmarks.peers.processes import output_of
from benchmarks.peers.system import CACHE, CannotRun

#: It says of its ShareConsumer that it is a preview.
CONFLUENT_KAFKA = "2.16.1"
ENVIRONMENT = CACHE / f"confluent-kafka-{CONFLUENT_KAFKA}"
PYTHON = ENVIRONMENT / "bin/python"


async def install() -> None:
    """An environment of its own: the project's has no use for confluent-kafka. Raises CannotRun with what pip said."""
    if (ENVIRONMENT / "installed").exists():
        return
    try:
        await output_of([sys.executable, "-m", "venv", ENVIRONMENT])
        await output_of([PYTHON, "-m", "pip", "install", "--quiet", f"confluent-kafka=={CONFLUENT_KAFKA}"])
    except RuntimeError as error:
        raise CannotRun(f"confluent-kafka {CONFLUENT_KAFKA} cannot be installed: {error}") from error
    (ENVIRONMENT / "installed").touch()
