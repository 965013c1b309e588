"""A misspelt variable is told of; one that Kubernetes sets for a service called fanout is not."""

from __future__ import annotations

from fanout_app.environment import unknown_variables
from fanout_app.options import TABLE


def test_a_misspelt_variable_is_named_with_the_one_it_is_nearest_to() -> None:
    assert unknown_variables(["FANOUT_ACK_WIAT", "FANOUT_XYZZY_PLUGH", "PATH", "fanout_id"]) == [
        "FANOUT_ACK_WIAT (did you mean FANOUT_ACK_WAIT?)",
        "FANOUT_XYZZY_PLUGH",
    ]


def test_our_own_are_known() -> None:
    assert unknown_variables(str(option.envvar) for option in TABLE) == []


def test_what_is_set_for_a_service_called_fanout_is_nobodys_mistake() -> None:
    names = """FANOUT_SERVICE_HOST FANOUT_SERVICE_PORT FANOUT_SERVICE_PORT_HTTP FANOUT_PORT FANOUT_PORT_6066_TCP
        FANOUT_PORT_6066_TCP_PROTO FANOUT_PORT_6066_TCP_PORT FANOUT_PORT_6066_TCP_ADDR FANOUT_METRICS_SERVICE_HOST
        FANOUT_METRICS_PORT_80_TCP_ADDR FANOUT_NAME FANOUT_ENV_PATH"""
    assert unknown_variables(names.split()) == []
