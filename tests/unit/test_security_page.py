"""`docs/security.md` says of every option of security how it was tried, and names no option that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from fanout_app.options import TABLE
from fanout_app.security_options import SECURITY_OPTIONS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text()
#: Of other programs, and of `fanout` where it runs no worker.
FOREIGN = {"--cacert", "--cert", "--key"}


def test_every_option_of_security_was_tried() -> None:
    tried = PAGE.partition("| option | tried with |")[2].partition("\n\n")[0]
    assert {option.opts[0] for option in SECURITY_OPTIONS} <= set(re.findall(r"`(--[a-z-]+)`", tried))


def test_every_option_that_is_named_is_one() -> None:
    known = {option.opts[0] for option in TABLE}
    assert set(re.findall(r"(?<!\w)--[a-z][a-z-]+", PAGE)) - FOREIGN <= known
