"""A ZooKeeper that is reached by TLS alone."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.certificates import Authority
from support.stack import ROOT
from support.workers import reserve_port


@contextmanager
def tls_zookeeper(ca: Authority, folder: Path, *, asks: bool = False) -> Iterator[str]:
    """Its address; with ``asks`` whoever connects has to show a certificate of this CA."""
    class_path = (ROOT / ".local" / "classpath" / "zookeeper.txt").read_text().strip()
    with reserve_port() as held:
        port = held.getsockname()[1]
        settings = {
            "secureClientPort": port,
            "secureClientPortAddress": "127.0.0.1",
            "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
            "dataDir": folder / "zookeeper",
            "tickTime": 500,
            "admin.enableServer": "false",
            "ssl.keyStore.type": "PEM",
            "ssl.keyStore.location": ca.keystore("zookeeper"),
            "ssl.trustStore.type": "PEM",
            "ssl.trustStore.location": ca.file,
            "ssl.clientAuth": "need" if asks else "none",
        }
        path = folder / "zoo.cfg"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        with (folder / "zookeeper.log").open("wb") as log:
            process = subprocess.Popen(
                ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", class_path,
                 "org.apache.zookeeper.server.ZooKeeperServerMain", str(path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
