"""Environment variables that look like an option of ours and are none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from fanout_app.options import TABLE

#: What Kubernetes and container links set for a service whose name begins with fanout.
_OF_A_SERVICE = re.compile(
    r"FANOUT(_.+)?_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?|NAME|ENV_.+)"
)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Those of these environment variables that look like an option and are none, each with the one it is nearest to.

    They are warned of and not refused: whoever runs a service called fanout gets variables of that name set.
    """
    known = [str(option.envvar) for option in TABLE]
    found = []
    for name in sorted(names):
        if name.startswith("FANOUT_") and name not in known and not _OF_A_SERVICE.fullmatch(name):
            near = difflib.get_close_matches(name, known, 1)
            found.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return found
