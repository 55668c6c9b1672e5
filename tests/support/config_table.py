"""The table of configurations, tests/config/table.toml: its cases as files, and what is compared of each."""

import tomllib
from pathlib import Path
from typing import Any

import attrs

from trio_fle.config import MemberConfig, load_config

PATH = Path(__file__).parents[1] / "config" / "table.toml"


@attrs.frozen
class Case:
    """One configuration: what its files hold, and what is to come of it."""

    about: str
    text: str
    dynamic: dict[str, str]
    """Texts of dynamic files by their names."""
    myid: str | None
    env: dict[str, str]
    values: dict[str, Any]
    """What it means; empty where it is refused."""
    warnings: list[str]
    error: str | None
    java: str
    """``same``, ``accepted``, or the text of Java's error."""
    java_values: dict[str, Any]
    """Where Java takes something for another value, and ``reason`` says why we don't."""
    reason: str

    def write(self, directory: Path) -> Path:
        """Write the case's files; return its zoo.cfg."""
        (directory / "data").mkdir(parents=True)
        if self.myid is not None:
            (directory / "data" / "myid").write_bytes(self.myid.encode())
        for name, text in self.dynamic.items():
            (directory / name).write_bytes(_placed(text, directory))
        path = directory / "zoo.cfg"
        path.write_bytes(_placed(self.text, directory))
        return path

    def load(self, directory: Path) -> MemberConfig:
        """Load the files that ``write`` wrote, as ``trio-fle run`` would."""
        return load_config(directory / "zoo.cfg", environ=self.env)

    @property
    def properties(self) -> dict[str, str]:
        """What the start script hands to a JVM as ``-D``: it splits at blanks, and leaves quotes alone."""
        words = f"{self.env.get('SERVER_JVMFLAGS', '')} {self.env.get('JVMFLAGS', '')}".split()
        pairs = (word.removeprefix("-D").partition("=") for word in words if word.startswith("-D"))
        return {name: value for name, _, value in pairs}


def load_table() -> list[Case]:
    """Return the cases in the order of the table."""
    table = tomllib.loads(PATH.read_text())
    return [_case(row, table["base"], table["values"]) for row in table["case"]]


def _case(row: dict[str, Any], base: str, values: dict[str, Any]) -> Case:
    more = row.get("more", [])
    meant = values | {"text": sorted(values["text"] + more)} | row.get("values", {})
    return Case(
        about=row["about"],
        text=row["zoo"] if "zoo" in row else base + row.get("lines", ""),
        dynamic=row.get("dynamic", {}),
        myid=None if row.get("myid") == "NONE" else row.get("myid", "1\n"),
        env=row.get("env", {}),
        values={} if "error" in row else meant,
        warnings=row.get("warnings", []),
        error=row.get("error"),
        java=row.get("java", "same"),
        java_values=row.get("java_values", {}),
        reason=row.get("reason", ""),
    )


def _placed(text: str, directory: Path) -> bytes:
    return text.replace("DIR", str(directory)).encode("iso-8859-1")


def told(config: MemberConfig) -> dict[str, Any]:
    """What is compared of a configuration, by ZooKeeper's names; milliseconds and ticks."""
    transport, election, admin = config.transport, config.election, config.admin
    return {
        "tickTime": config.tick_time_ms,
        "initLimit": config.init_limit,
        "syncLimit": config.sync_limit,
        "connectToLearnerMasterLimit": config.connect_limit,
        "dataDir": str(config.data_dir),
        "dataLogDir": str(config.data_log_dir),
        "serverId": config.myid,
        "peerType": config.learner_type.value,
        "clientPortAddress": str(admin.client_address or ""),
        "minSessionTimeout": config.session_timeouts_ms[0],
        "maxSessionTimeout": config.session_timeouts_ms[1],
        "quorumListenOnAllIPs": transport.listen_on_all_ips,
        "standaloneEnabled": config.standalone_enabled,
        "reconfigEnabled": config.reconfig_enabled,
        "multiAddress.enabled": transport.multi_address,
        "voters": sorted(config.ensemble.voters),
        "observers": sorted(config.ensemble.observers),
        "text": sorted(config.ensemble.text.splitlines()),
        "cnxTimeout": round(transport.cnx_timeout_s * 1000),
        "quorumCnxnTimeoutMs": round(transport.handshake_timeout_s * 1000),
        "electionPortBindRetry": transport.bind_retries,
        "tcpKeepAlive": transport.keep_alive,
        "fastleader.minNotificationInterval": round(election.resend_min_s * 1000),
        "fastleader.maxNotificationInterval": round(election.resend_max_s * 1000),
        "observer.election.DelayMs": config.observer_election_delay_ms,
        "db.autocreate": config.autocreate,
        "snapshot.trust.empty": config.trust_empty,
        "admin.enableServer": admin.enabled,
        "admin.serverAddress": admin.address.host,
        "admin.serverPort": admin.address.port,
        "admin.idleTimeout": round(admin.idle_timeout_s * 1000),
    }


def shortened(value: Any, directory: Path) -> Any:
    """Write DIR for the directory that a text names."""
    if isinstance(value, str):
        return value.replace(f"{directory}/zoo.cfg", "zoo.cfg").replace(str(directory), "DIR")
    if isinstance(value, dict):
        return {key: shortened(each, directory) for key, each in value.items()}
    return [shortened(each, directory) for each in value] if isinstance(value, list) else value
