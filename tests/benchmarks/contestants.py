"""The contestants by name. They differ in how a member is configured, started and asked."""

import abc
import json
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar, Final

from contestant import Contestant, first_line
from probe import HttpProbe, LetterProbe, Probe, Role, WordProbe

JARS: Final = ["zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar"]
JAVA_LOG: Final = """\
log4j.rootLogger=INFO, OUT
log4j.appender.OUT=org.apache.log4j.ConsoleAppender
log4j.appender.OUT.layout=org.apache.log4j.PatternLayout
log4j.appender.OUT.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
"""


class ZooKeeperLike(Contestant):
    """Configured by zoo.cfg and myid."""

    tick_ms: ClassVar[int] = 2000

    @abc.abstractmethod
    def extra(self, port: int) -> list[str]:
        """Return lines for the port at which a member is asked."""

    def configure(self, sid: int) -> None:
        home = self.home(sid)
        (home / "myid").write_text(f"{sid}\n")
        lines = [f"dataDir={home}", f"tickTime={self.tick_ms}", "initLimit=10", "syncLimit=5"]
        lines += self.extra(self.ports[sid][2])
        for other, (quorum, election, _) in self.ports.items():
            lines.append(f"server.{other}=127.0.0.1:{quorum}:{election}")
        (home / "zoo.cfg").write_text("\n".join(lines) + "\n")
        (home / "log4j.properties").write_text(JAVA_LOG)


class TrioFle(ZooKeeperLike):
    """Members of ours, asked for /leader: 200 only within the lease."""

    label = "trio-fle, tickTime=2000 syncLimit=5 (defaults)"
    tells = True

    def extra(self, port: int) -> list[str]:
        return ["admin.serverAddress=127.0.0.1", f"admin.serverPort={port}"]

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        return {"trio-fle": version("trio-fle"), "Trio": version("trio")}

    def command(self, sid: int) -> list[str]:
        script = Path(sys.executable).with_name("trio-fle")
        return [str(script), "run", str(self.home(sid) / "zoo.cfg"), "--log-format", "json"]

    def probe(self, sid: int) -> Probe:
        return HttpProbe(self.ports[sid][2], b"GET /leader HTTP/1.1\r\nHost: x\r\n\r\n", _judge_ours)

    def led_at(self, sid: int, since: float) -> float | None:
        for line in self.log(sid).read_text().splitlines():
            if '"leading.established"' in line:
                at = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
                if at > since:
                    return at
        return None


def _judge_ours(status: int, body: bytes) -> Role | None:
    if status == 200:
        return Role.LEADER
    return None if b'"leader": null' in body else Role.FOLLOWER


class TrioFleFast(TrioFle):
    """Members of ours that notice a silent leader after a tenth of a second."""

    label = "trio-fle, tickTime=20 syncLimit=5"
    tick_ms = 20


class ZooKeeper(ZooKeeperLike):
    """Java servers, asked for ``srvr`` on the client port."""

    label = "ZooKeeper (Java), tickTime=2000 syncLimit=5 (defaults)"

    def extra(self, port: int) -> list[str]:
        return [f"clientPort={port}", "clientPortAddress=127.0.0.1", "admin.enableServer=false"]

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        jars = sorted(Path("/usr/share/java").glob("zookeeper-[0-9]*.jar"))
        if not jars:
            raise FileNotFoundError("no zookeeper.jar")
        return {
            "ZooKeeper": jars[-1].stem.removeprefix("zookeeper-"),
            "Java": first_line("java", "-version"),
        }

    def command(self, sid: int) -> list[str]:
        home = self.home(sid)
        class_path = ":".join([str(home), *(f"/usr/share/java/{jar}" for jar in JARS)])
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return ["java", "-cp", class_path, main, str(home / "zoo.cfg")]

    def probe(self, sid: int) -> Probe:
        return WordProbe(self.ports[sid][2])


class Etcd(Contestant):
    """etcd, asked for its maintenance status: who leads, and is it itself?"""

    label = "etcd, heartbeat 100 ms election 1000 ms (defaults)"
    options: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        return {"etcd": first_line("etcd", "--version").removeprefix("etcd Version: ")}

    def command(self, sid: int) -> list[str]:
        peer, client = (f"http://127.0.0.1:{self.ports[sid][at]}" for at in (0, 2))
        cluster = ",".join(f"m{each}=http://127.0.0.1:{self.ports[each][0]}" for each in self.sids)
        return [
            "etcd",
            *("--name", f"m{sid}", "--data-dir", str(self.home(sid) / "data")),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--initial-cluster", cluster, "--initial-cluster-state", "new"),
            *self.options,
        ]

    def probe(self, sid: int) -> Probe:
        request = b"POST /v3/maintenance/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
        return HttpProbe(self.ports[sid][2], request, _judge_etcd)


def _judge_etcd(status: int, body: bytes) -> Role | None:
    if status != 200:
        return None
    facts = json.loads(body)
    leader = facts.get("leader")
    if leader is None:
        return None
    return Role.LEADER if leader == facts["header"]["member_id"] else Role.FOLLOWER


class EtcdTuned(Etcd):
    """etcd as fast as its own rule for the two times allows on one host."""

    label = "etcd, heartbeat 10 ms election 100 ms"
    options = ("--heartbeat-interval", "10", "--election-timeout", "100")


class PySyncObj(Contestant):
    """PySyncObj nodes in a small script, which answers with one letter."""

    label = "PySyncObj, with a journal, otherwise defaults"

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        try:
            return {"PySyncObj": version("pysyncobj")}
        except PackageNotFoundError as error:
            raise ImportError(str(error)) from error

    def command(self, sid: int) -> list[str]:
        script = Path(__file__).with_name("pysyncobj_node.py")
        peers = [f"127.0.0.1:{self.ports[each][0]}" for each in self.sids if each != sid]
        _, _, asked = self.ports[sid]
        own = f"127.0.0.1:{self.ports[sid][0]}"
        return [sys.executable, str(script), str(self.home(sid) / "journal"), str(asked), own, *peers]

    def probe(self, sid: int) -> Probe:
        return LetterProbe(self.ports[sid][2])


CONTESTANTS: Final[dict[str, type[Contestant]]] = {
    "trio-fle": TrioFle,
    "trio-fle-20ms": TrioFleFast,
    "zookeeper": ZooKeeper,
    "etcd": Etcd,
    "etcd-tuned": EtcdTuned,
    "pysyncobj": PySyncObj,
}


def installed(names: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
    """Return the versions of what runs, and the contestants that this machine lacks."""
    versions: dict[str, str] = {}
    missing = []
    for name in names:
        try:
            versions.update(CONTESTANTS[name].versions())
        except (ImportError, FileNotFoundError):
            missing.append(name)
    return versions, missing
