"""How one Kafka or ZooKeeper process is configured, formatted and started from its jars.

Knows nothing of stacks or commands. The settings make a start quick and a server small; what they
change in behaviour is said next to each.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from state import LOCAL, Server

HERE = Path(__file__).resolve().parent

JVM = (
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Djava.awt.headless=true",
)
KAFKA_JVM = ("-Xms128m", "-Xmx384m", f"-Dlog4j2.configurationFile={HERE / 'kafka' / 'log4j2.properties'}")
ZOOKEEPER_JVM = (
    "-Xmx128m",
    "-Dzookeeper.preAllocSize=1024",  # KiB of each log file, instead of 64 MiB
    "-Dorg.slf4j.simpleLogger.logFile=System.out",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
    # They would report every question whether the server is ready.
    "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.NIOServerCnxn=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.server.command.FourLetterCommands=warn",
)


def kafka_settings(server: Server, brokers: list[Server], folder: Path) -> dict[str, str]:
    copies = str(min(len(brokers), 3))
    (controller_port,) = server.inner_ports
    voters = ",".join(f"{broker.node}@{broker.host}:{broker.inner_ports[0]}" for broker in brokers)
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(server.node),
        "controller.quorum.voters": voters,
        "listeners": f"PLAINTEXT://{server.address},CONTROLLER://{server.host}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{server.address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(folder / "data"),
        "auto.create.topics.enable": "false",
        # A group's first member need not wait 3 s for others.
        "group.initial.rebalance.delay.ms": "0",
        # Fewer files to open at the first use of a group, a transaction or a share group.
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.num.partitions": "4",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "share.coordinator.state.topic.replication.factor": copies,
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # On the heap; the usual 128 MiB would not leave room for the rest.
        "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
        "num.network.threads": "2",
        "num.io.threads": "4",
        # For as long (9 s by default) a killed broker is taken for alive and its restart is refused. An only
        # broker shares its process with the controller, so that both stall together: it may be shorter.
        "broker.session.timeout.ms": "2000" if len(brokers) == 1 else "4000",
        "broker.heartbeat.interval.ms": "500",
    }
    return settings | {key: _chosen(value, settings.get(key, "")) for key, value in server.options.items()}


def _chosen(value: str, usual: str) -> str:
    """The value of an option. With a + in front it follows the usual one, as a further listener does."""
    return usual + value[1:] if value.startswith("+") else value


def zookeeper_settings(server: Server, members: list[Server], folder: Path) -> dict[str, str]:
    settings = {
        "clientPort": str(server.port),
        "clientPortAddress": server.host,
        "dataDir": str(folder / "data"),
        # Sessions may be as short as two ticks: with the usual 2000 none could end within 4 s.
        "tickTime": "500",
        "maxSessionTimeout": "60000",
        "initLimit": "40",
        "syncLimit": "20",
        "maxClientCnxns": "0",
        "admin.enableServer": "false",
        "4lw.commands.whitelist": "ruok,srvr,stat,mntr",
    }
    if len(members) > 1:
        for member in members:
            peers, elections = member.inner_ports
            settings[f"server.{member.node}"] = f"{member.host}:{peers}:{elections}"
    return settings | server.options


def prepare(server: Server, peers: list[Server], folder: Path, cluster_id: str) -> subprocess.Popen[str] | None:
    """Writes what the server reads at its start; for a new broker answers the process that formats its folder."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    if server.kind == "zookeeper":
        _write(folder / "zoo.cfg", zookeeper_settings(server, peers, folder))
        (folder / "data" / "myid").write_text(f"{server.node}\n")
        return None
    _write(folder / "server.properties", kafka_settings(server, peers, folder))
    if (folder / "data" / "meta.properties").exists():
        return None
    tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(folder / "server.properties"))
    return subprocess.Popen(
        [*_java("kafka", *_archived("kafka"), "-Xmx128m", KAFKA_JVM[-1]), *tool],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def command(server: Server, folder: Path, *, archiving: bool = False) -> list[str]:
    """The process it begins with goes on to be the server: they have one pid.

    When archiving it writes the classes it has loaded to `fresh_archive` as it ends, if this Java can.
    """
    place = ["ip", "netns", "exec", server.netns] if server.netns else []
    archive = [f"-XX:ArchiveClassesAtExit={fresh_archive(folder)}"] if archiving else _archived(server.kind)
    if server.kind == "zookeeper":
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return [*place, *_java("zookeeper", *archive, *ZOOKEEPER_JVM), main, str(folder / "zoo.cfg")]
    return [*place, *_java("kafka", *archive, *KAFKA_JVM), "kafka.Kafka", str(folder / "server.properties")]


def fresh_archive(folder: Path) -> Path:
    return folder / "classes.jsa"


def archive(kind: str) -> Path:
    """Classes as a JVM has them when it has read and checked them, which is half the work of a start."""
    return LOCAL / "classpath" / f"{kind}.jsa"


def _archived(kind: str) -> list[str]:
    """One that is of another Java or of other jars the JVM leaves aside, and says so in its log."""
    return [f"-XX:SharedArchiveFile={archive(kind)}"] if archive(kind).exists() else []


def _java(kind: str, *options: str) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise FileNotFoundError("no java found: apt-get install openjdk-17-jre-headless")
    class_path = LOCAL / "classpath" / f"{kind}.txt"
    if not class_path.exists():
        raise FileNotFoundError(f"the jars of {kind} are not there yet: run bin/deps")
    return [java, *JVM, *options, "-cp", class_path.read_text().strip()]


def _write(path: Path, settings: dict[str, str]) -> None:
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
