"""Whether what runs is a compiled wheel or plain Python: the same source, at a different cost a message."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fanout_app.core import dispatcher


def build() -> Literal["compiled", "interpreted"]:
    return "interpreted" if Path(dispatcher.__file__).suffix == ".py" else "compiled"
