"""How clients of Kafka are let in: every one of them is made the same way, and no secret is shown by it."""

from __future__ import annotations

import ast
import asyncio
import ssl
from pathlib import Path

import click
import pytest
from aiokafka.errors import SaslAuthenticationFailed, UnsupportedSaslMechanismError
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

import fanout_app
from fanout_app.core.errors import OptionError, StartError
from fanout_app.kafka import reach
from fanout_app.kafka.brokers import Brokers
from fanout_app.options import TABLE, Options
from support.certificates import Authority

CLIENTS = {"AIOKafkaClient", "AIOKafkaConsumer", "AIOKafkaProducer", "AIOKafkaAdminClient"}
PASSWORD = "a password that is not to be seen"


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
def password(tmp_path: Path) -> str:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return str(path)


def options(*arguments: str) -> Options:
    command = click.Command("fanout", params=list(TABLE))
    given = ["--id", "a", "--topic", "t", "--brokers", "one:9092,two:9093", *arguments]
    with command.make_context("fanout", given) as context:
        return Options(**context.params)


def sasl(password: str, protocol: str = "SASL_SSL", mechanism: str = "SCRAM-SHA-512") -> list[str]:
    return ["--kafka-security-protocol", protocol, "--kafka-sasl-mechanism", mechanism, "--kafka-user", "ann",
            "--kafka-password-file", password]  # fmt: skip


def test_no_client_is_made_in_another_way() -> None:
    """One that is would not be let in, where all others are; and it is found by nobody before that."""
    made = []
    for path in Path(str(fanout_app.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLIENTS:
                spread = [ast.unparse(word.value) for word in node.keywords if word.arg is None]
                given = {word.arg for word in node.keywords}
                assert any(one.endswith("brokers.client") for one in spread), ast.unparse(node)
                assert not given & {"bootstrap_servers", "security_protocol", "ssl_context"}, ast.unparse(node)
                made.append(node.func.id)
    assert set(made) == CLIENTS


def test_without_a_word_it_is_plaintext() -> None:
    brokers = Brokers.of(options())
    assert brokers.client == {"bootstrap_servers": ["one:9092", "two:9093"], "security_protocol": "PLAINTEXT"}
    assert brokers.credentials is None
    assert Brokers(("one:9092", "two:9093")).client == brokers.client


def test_all_of_it_reaches_clients_and_faust_alike(ca: Authority, password: str) -> None:
    one = ca.issue("one")
    brokers = Brokers.of(
        options(*sasl(password), "--kafka-ca", ca.file, "--kafka-cert", one.cert, "--kafka-key", one.key)
    )
    given = brokers.client
    context = given.pop("ssl_context")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert len(context.get_ca_certs()) == 1
    assert given == {
        "bootstrap_servers": ["one:9092", "two:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "ann",
        "sasl_plain_password": PASSWORD,
    }
    of_faust = dict(credentials_to_aiokafka_auth(brokers.credentials))
    assert of_faust.pop("ssl_context") is context
    assert {**of_faust, "bootstrap_servers": given["bootstrap_servers"]} == given


@pytest.mark.parametrize(
    ("protocol", "keys"),
    [
        ("SSL", {"security_protocol", "ssl_context"}),
        ("SASL_PLAINTEXT", {"security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password"}),
    ],
)
def test_faust_is_told_the_same_of_each_protocol(protocol: str, keys: set[str], password: str) -> None:
    given = sasl(password, protocol) if protocol.startswith("SASL") else ["--kafka-security-protocol", protocol]
    brokers = Brokers.of(options(*given))
    of_faust = credentials_to_aiokafka_auth(brokers.credentials)
    assert {key for key, value in of_faust.items() if value is not None} == keys
    assert {key: of_faust[key] for key in keys} == dict(brokers.security)


def test_no_text_of_it_shows_the_password(password: str, caplog: pytest.LogCaptureFixture) -> None:
    brokers = Brokers.of(options(*sasl(password, "SASL_PLAINTEXT", "PLAIN")))
    assert "sends the password as it is" in caplog.text
    for text in (str(brokers), repr(brokers), repr(brokers.credentials), caplog.text):
        assert PASSWORD not in text


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ["--kafka-security-protocol", "SASL_SSL"],
            "--kafka-sasl-mechanism is missing with --kafka-security-protocol S",
        ),
        (
            ["--kafka-user", "ann"],
            "--kafka-user is of no use with --kafka-security-protocol PLAINTEXT: give all of --kaf",
        ),
        (["--kafka-ca", "x"], "--kafka-ca is of no use with --kafka-security-protocol PLAINTEXT: give SSL or SASL_SSL"),
        (["--kafka-security-protocol", "SSL", "--kafka-cert", "x"], "--kafka-cert is given and --kafka-key is not"),
        (["--zookeeper-user", "ann"], "--zookeeper-user is given and --zookeeper-password-file is not"),
        (["--zookeeper-user", "a:b", "--zookeeper-password-file", "x"], "--zookeeper-user holds a colon"),
    ],
)
def test_what_makes_no_sense_together_is_refused(arguments: list[str], why: str) -> None:
    with pytest.raises(OptionError) as refused:
        options(*arguments)
    assert why in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"one\ntwo\n", b"\xff\xfe"])
def test_a_file_that_holds_no_password_is_refused_without_showing_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(OptionError, match="--kafka-password-file") as refused:
        Brokers.of(options(*sasl(str(path))))
    assert "two" not in str(refused.value)
    with pytest.raises(OptionError, match="cannot be read"):
        Brokers.of(options(*sasl(str(tmp_path / "none"))))


# The first contact ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            SaslAuthenticationFailed("no"),
            "does not know --kafka-user ann with the password of --kafka-password-file by S",
        ),
        (UnsupportedSaslMechanismError("no"), "does not take --kafka-sasl-mechanism SCRAM-SHA-512: give one that it"),
    ],
)
async def test_who_is_not_let_in_is_told_at_once_why(
    error: Exception, why: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise error

    async def listens(*_: object) -> None:
        return None

    monkeypatch.setattr(reach, "create_conn", refuse)
    monkeypatch.setattr(reach, "_refusal", listens)
    brokers = Brokers(("127.0.0.1:1",), Brokers.of(options(*sasl(password))).security)
    with pytest.raises(StartError) as told:
        await reach.connect(brokers)
    assert why in str(told.value)
    assert PASSWORD not in str(told.value)


async def test_a_broker_with_another_certificate_is_refused_at_once(ca: Authority, tmp_path: Path) -> None:
    files = Authority(tmp_path / "other").issue("broker")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(files.cert, files.key)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=served)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    security = Brokers.of(options("--kafka-security-protocol", "SSL", "--kafka-ca", ca.file)).security
    with pytest.raises(StartError, match=r"is not to be trusted .*: see that --kafka-ca has signed it"):
        await reach.connect(Brokers((address,), security))
    server.close()
    await server.wait_closed()
