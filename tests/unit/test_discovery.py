"""Servers are found on fake environments: one, two, three and five of each, from options, links and host names."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from functools import partial

import click
import pytest

from fanout_app.core.errors import OptionError
from fanout_app.discovery import KAFKA, ZOOKEEPER, by_host_names, complete, of_links
from fanout_app.environment import unknown_variables
from fanout_app.options import TABLE, Options

COUNTS = pytest.mark.parametrize("count", [1, 2, 3, 5])

#: What a pod gets where Services are called kafka, zk and fanout.
POD = {
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
    "KUBERNETES_PORT": "tcp://10.96.0.1:443",
    "KAFKA_SERVICE_HOST": "10.96.7.1",
    "KAFKA_SERVICE_PORT": "9092",
    "KAFKA_SERVICE_PORT_CLIENTS": "9092",
    "KAFKA_PORT": "tcp://10.96.7.1:9092",
    "KAFKA_PORT_9092_TCP": "tcp://10.96.7.1:9092",
    "KAFKA_PORT_9092_TCP_PROTO": "tcp",
    "KAFKA_PORT_9092_TCP_PORT": "9092",
    "KAFKA_PORT_9092_TCP_ADDR": "10.96.7.1",
    "ZK_SERVICE_HOST": "10.96.7.2",
    "ZK_SERVICE_PORT": "2181",
    "ZK_PORT": "tcp://10.96.7.2:2181",
    "ZK_PORT_2181_TCP": "tcp://10.96.7.2:2181",
    "ZK_PORT_2181_TCP_PROTO": "tcp",
    "ZK_PORT_2181_TCP_PORT": "2181",
    "ZK_PORT_2181_TCP_ADDR": "10.96.7.2",
    "FANOUT_SERVICE_HOST": "10.96.7.3",
    "FANOUT_SERVICE_PORT": "6066",
    "FANOUT_PORT": "tcp://10.96.7.3:6066",
    "FANOUT_PORT_6066_TCP": "tcp://10.96.7.3:6066",
    "FANOUT_PORT_6066_TCP_PROTO": "tcp",
    "FANOUT_PORT_6066_TCP_PORT": "6066",
    "FANOUT_PORT_6066_TCP_ADDR": "10.96.7.3",
}


def options(*arguments: str, environment: Mapping[str, str] | None = None) -> Options:
    """As both commands read them; only ``FANOUT_ID`` and the like count of the environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [str(option.envvar) for option in TABLE]:
            patch.delenv(name, raising=False)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        command = click.Command("fanout", params=list(TABLE))
        with command.make_context("fanout", ["--id", "a", "--topic", "t", *arguments]) as context:
            return Options(**context.params)


def known(hosts: Mapping[str, str], name: str) -> set[str]:
    """A name server that knows these hosts and no others."""
    return {hosts[name]} if name in hosts else set()


def nobody(name: str) -> set[str]:
    return set()


def not_asked(name: str) -> set[str]:
    raise AssertionError(f"{name} was looked up")


def links(count: int) -> dict[str, str]:
    variables: dict[str, str] = {}
    for number in range(1, count + 1):
        variables |= {
            f"KAFKA_{number}_PORT_9092_TCP_ADDR": f"10.0.0.{number}",
            f"KAFKA_{number}_PORT_9092_TCP_PORT": str(9091 + number),
            f"ZK_{number}_PORT_2181_TCP_ADDR": f"10.0.1.{number}",
            f"ZK_{number}_PORT_2181_TCP_PORT": str(2180 + number),
        }
    return variables


# Options --------------------------------------------------------------------------------------------------------------


@COUNTS
def test_options_come_first(count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    brokers = ",".join(f"broker{number}:9092" for number in range(count))
    zookeepers = ",".join(f"keeper{number}:2181" for number in range(count)) + "/chroot"
    given = options("--brokers", brokers, "--zookeepers", zookeepers)
    found = complete(given, {**links(2), "KAFKA_1_PORT_9092_TCP_PORT": "malformed"}, not_asked)
    assert (found.brokers, found.zookeepers) == (brokers, zookeepers)
    plural = "s" if count > 1 else ""
    assert [record.message for record in caplog.records] == [
        f"{count} Kafka broker{plural}, from --brokers: {brokers}",
        f"{count} ZooKeeper server{plural}, from --zookeepers: {zookeepers}",
    ]


def test_each_kind_is_looked_for_by_itself() -> None:
    found = complete(options("--brokers", "mine:9092"), links(2), not_asked)
    assert (found.brokers, found.zookeepers) == ("mine:9092", "10.0.1.1:2181,10.0.1.2:2182")


def test_without_zookeeper_if_that_is_what_the_option_says() -> None:
    for given in (options("--zookeepers", "none"), options(environment={"FANOUT_ZOOKEEPERS": "none"})):
        assert complete(given, links(2), not_asked).zookeepers == ""


def test_an_empty_variable_of_an_option_names_no_server() -> None:
    found = complete(options(environment={"FANOUT_BROKERS": "", "FANOUT_ZOOKEEPERS": ""}), links(1), not_asked)
    assert (found.brokers, found.zookeepers) == ("10.0.0.1:9092", "10.0.1.1:2181")


# Links ----------------------------------------------------------------------------------------------------------------


@COUNTS
def test_links_come_next_and_how_many_is_logged(count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = complete(options(), links(count), not_asked)
    assert found.brokers_list == [f"10.0.0.{number}:{9091 + number}" for number in range(1, count + 1)]
    assert found.zookeepers.split(",") == [f"10.0.1.{number}:{2180 + number}" for number in range(1, count + 1)]
    plural = "s" if count > 1 else ""
    assert [record.message for record in caplog.records] == [
        f"{count} Kafka broker{plural}, from variables of container links: {found.brokers}",
        f"{count} ZooKeeper server{plural}, from variables of container links: {found.zookeepers}",
    ]


def test_a_link_without_a_number_counts_and_each_server_counts_once() -> None:
    variables = {"KAFKA_PORT_9092_TCP_ADDR": "10.0.0.1", "KAFKA_PORT_9092_TCP_PORT": "9092", **links(2)}
    assert of_links(KAFKA, variables) == ["10.0.0.1:9092", "10.0.0.2:9093"]
    only = {"ZK_PORT_2181_TCP_ADDR": "zk.internal", "ZK_PORT_2181_TCP_PORT": "12181"}
    assert of_links(ZOOKEEPER, only) == ["zk.internal:12181"]


def test_the_port_in_the_name_of_a_variable_counts_where_there_is_none_for_it() -> None:
    assert of_links(KAFKA, {"KAFKA_1_PORT_9092_TCP_ADDR": "10.0.0.1"}) == ["10.0.0.1:9092"]


def test_an_address_of_version_6_is_put_in_brackets() -> None:
    assert of_links(ZOOKEEPER, {"ZK_PORT_2181_TCP_ADDR": "fd00::2"}) == ["[fd00::2]:2181"]


def test_counting_ends_at_a_gap_which_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    variables = {name: value for name, value in links(5).items() if not name.startswith("KAFKA_3")}
    variables["KAFKA_3_PORT_9092_TCP_ADDR"] = ""
    assert of_links(KAFKA, variables) == ["10.0.0.1:9092", "10.0.0.2:9093"]
    assert len(caplog.records) == 1
    assert "KAFKA_3_PORT_9092_TCP_ADDR is not set, so KAFKA_4_PORT_9092_TCP_ADDR" in caplog.text
    assert of_links(ZOOKEEPER, variables) == [f"10.0.1.{number}:{2180 + number}" for number in range(1, 6)]
    assert len(caplog.records) == 1


@pytest.mark.parametrize("port", ["tcp://10.0.0.2:9092", "0", "65536", "-1", "9092 ", "³", "9_092", "x" * 9])
def test_a_malformed_port_is_one_clear_error(port: str) -> None:
    with pytest.raises(OptionError) as caught:
        complete(options(), {**links(3), "KAFKA_2_PORT_9092_TCP_PORT": port}, not_asked)
    assert str(caught.value) == (
        f"KAFKA_2_PORT_9092_TCP_PORT is {port!r} and must be a port, 1 to 65535: correct it, or give --brokers"
    )


@pytest.mark.parametrize("address", ["10.0.0.1,10.0.0.2", "tcp://10.0.0.1", "a b", "10.0.0.1:2181"])
def test_a_malformed_address_is_one_too(address: str) -> None:
    with pytest.raises(OptionError, match=r"ZK_1_PORT_2181_TCP_ADDR is .* give --zookeepers"):
        complete(options("--brokers", "mine:9092"), {"ZK_1_PORT_2181_TCP_ADDR": address}, not_asked)


# Kubernetes -----------------------------------------------------------------------------------------------------------


def test_what_kubernetes_sets_for_services_called_kafka_zk_and_fanout_names_the_servers() -> None:
    found = complete(options(environment=POD), POD, not_asked)
    assert (found.brokers, found.zookeepers) == ("10.96.7.1:9092", "10.96.7.2:2181")
    # Neither the options nor the warning of misspelt ones are disturbed by the rest.
    assert found == complete(options(), POD, not_asked)
    assert unknown_variables(POD) == []


def test_services_with_other_ports_are_no_links_and_their_names_count() -> None:
    variables = {name.replace("9092", "9093"): value.replace("9092", "9093") for name, value in POD.items()}
    found = complete(options(), variables, partial(known, {"kafka": "10.96.7.1"}))
    assert (found.brokers, found.zookeepers) == ("kafka:9092", "10.96.7.2:2181")


# Host names -----------------------------------------------------------------------------------------------------------


@COUNTS
def test_host_names_come_last_and_how_many_is_logged(count: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hosts = {f"kafka_{number}": f"10.0.0.{number}" for number in range(1, count + 1)}
    hosts |= {f"zk_{number}": f"10.0.1.{number}" for number in range(1, count + 1)}
    found = complete(options(), {}, partial(known, hosts))
    assert found.brokers_list == [f"kafka_{number}:9092" for number in range(1, count + 1)]
    assert found.zookeepers.split(",") == [f"zk_{number}:2181" for number in range(1, count + 1)]
    plural = "s" if count > 1 else ""
    assert [record.message for record in caplog.records] == [
        f"{count} Kafka broker{plural}, from host names: {found.brokers}",
        f"{count} ZooKeeper server{plural}, from host names: {found.zookeepers}",
    ]


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ({"kafka": "1"}, ["kafka"]),
        ({"kafka": "1", "kafka_1": "1", "kafka_2": "2"}, ["kafka_1", "kafka_2"]),
        ({"kafka": "9", "kafka_1": "1"}, ["kafka", "kafka_1"]),
        ({"kafka_1": "1", "kafka_3": "3"}, ["kafka_1"]),
        ({"kafka_2": "2"}, []),
    ],
    ids=["only", "covered", "another", "gap", "beyond"],
)
def test_names_are_counted_until_one_is_missing_and_each_host_once(hosts: dict[str, str], found: list[str]) -> None:
    assert by_host_names([KAFKA], partial(known, hosts)) == {KAFKA: [f"{name}:9092" for name in found]}


def test_name_servers_that_know_every_name_are_seen_through() -> None:
    assert by_host_names([ZOOKEEPER], lambda name: {"192.0.2.1"}) == {ZOOKEEPER: ["zk_1:2181"]}


def test_where_nothing_is_named_a_local_broker_is_tried_without_zookeeper(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found = complete(options(), {"PATH": "/bin", "KAFKA_HOME": "/opt/kafka"}, nobody)
    assert (found.brokers, found.zookeepers) == ("127.0.0.1:9092", "")
    assert [record.message for record in caplog.records] == [
        "no Kafka broker is named by options, links or host names: trying 127.0.0.1:9092",
        "no ZooKeeper server (none is named by options, links or host names): doing without",
    ]


def test_look_ups_that_hang_hold_up_no_start_and_what_was_found_until_then_counts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ends = threading.Event()

    def hangs(name: str) -> set[str]:
        if name == "kafka_3":
            ends.wait()
        return {name} if name != "zk_1" else set()

    try:
        began = time.monotonic()
        found = by_host_names([KAFKA, ZOOKEEPER], hangs, within=1.0)
        assert time.monotonic() - began < 10
        (left_alone,) = (thread for thread in threading.enumerate() if thread.name == "fanout-look-up-kafka")
    finally:
        ends.set()
    # It looks up nothing more, though this name server would answer for ever.
    left_alone.join(10)
    assert not left_alone.is_alive()
    assert found == {KAFKA: ["kafka:9092", "kafka_1:9092", "kafka_2:9092"], ZOOKEEPER: ["zk:2181"]}
    assert "host names (kafka, kafka_1, ...) could not be looked up within 1 s: give --brokers" in caplog.text
