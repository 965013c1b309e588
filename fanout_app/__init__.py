"""fanout hands the messages of a Kafka topic to HTTP clients: one lease a message, at least once.

``faust -A fanout_app worker`` finds the app here. It is built when it is asked for, so that importing a part of the
package (the core, say) does not connect to anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fanout_app.faust_app import Fanout

    app: Fanout


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fanout_app.__main__ import app_of_environment

    built = globals()["app"] = app_of_environment()
    return built
