"""Asked by test_configs_with_java.py: what real ZooKeeper's QuorumPeerConfig makes of configuration files.

Question: a list of ``{"path": zoo.cfg, "properties": {name: value of a -D}}``. Answer: for each of them what
the getters say, or ``{"error": text}``.
"""

from typing import Any

import jvm


def reply(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    from jpype import JClass

    system = JClass("java.lang.System")
    clean = system.getProperties().clone()
    return [_ask(case["path"], case["properties"], system, clean) for case in cases]


def _ask(path: str, properties: dict[str, str], system: Any, clean: Any) -> dict[str, Any]:
    """Parse one file, with properties and static fields as in a fresh JVM."""
    from jpype import JClass, JException

    system.setProperties(clean.clone())
    for name, value in properties.items():
        system.setProperty(name, value)
    parser = JClass("org.apache.zookeeper.server.quorum.QuorumPeerConfig")
    parser.setStandaloneEnabled(True)
    parser.setReconfigEnabled(False)
    config = parser()
    try:
        config.parse(path)
        return _told(config) | _read()
    except JException as error:
        return {"error": _reason(error)}


def _reason(error: Any) -> str:
    """The innermost message: what QuorumPeerMain's trace ends with."""
    while error.getCause() is not None:
        error = error.getCause()
    message = error.getMessage()
    return str(error.getClass().getSimpleName()) if message is None else str(message)


def _told(config: Any) -> dict[str, Any]:
    verifier = config.getQuorumVerifier()
    return {
        "tickTime": int(config.getTickTime()),
        "initLimit": int(config.getInitLimit()),
        "syncLimit": int(config.getSyncLimit()),
        "connectToLearnerMasterLimit": int(config.getConnectToLearnerMasterLimit()),
        "dataDir": str(config.getDataDir()),
        "dataLogDir": str(config.getDataLogDir()),
        "serverId": int(config.getServerId()),
        "peerType": str(config.getPeerType()).lower(),
        "clientPortAddress": _address(config.getClientPortAddress()),
        "minSessionTimeout": int(config.getMinSessionTimeout()),
        "maxSessionTimeout": int(config.getMaxSessionTimeout()),
        "quorumListenOnAllIPs": bool(config.getQuorumListenOnAllIPs().booleanValue()),
        "standaloneEnabled": bool(config.isStandaloneEnabled()),
        "reconfigEnabled": bool(config.isReconfigEnabled()),
        "multiAddress.enabled": bool(config.isMultiAddressEnabled()),
        "voters": sorted(int(sid.longValue()) for sid in verifier.getVotingMembers().keySet()),
        "observers": sorted(int(sid.longValue()) for sid in verifier.getObservingMembers().keySet()),
        "text": sorted(str(verifier.toString()).splitlines()),
    }


def _address(address: Any) -> str | None:
    if address is None:
        return None
    host = str(address.getHostString())
    return f"[{host}]:{address.getPort()}" if ":" in host else f"{host}:{address.getPort()}"


def _read() -> dict[str, Any]:
    """What the rest of a server reads from the system properties, by the functions that it uses for each."""
    from jpype import JClass

    system, integer = JClass("java.lang.System"), JClass("java.lang.Integer")
    boolean, long = JClass("java.lang.Boolean"), JClass("java.lang.Long")

    def get_integer(name: str, default: int) -> int:
        return int(integer.getInteger(f"zookeeper.{name}", integer.valueOf(default)).intValue())

    def text(name: str, default: str) -> str:
        return str(system.getProperty(f"zookeeper.{name}", default))

    return {
        "cnxTimeout": int(integer.parseInt(text("cnxTimeout", "5000"))),
        "quorumCnxnTimeoutMs": get_integer("quorumCnxnTimeoutMs", -1),
        "electionPortBindRetry": get_integer("electionPortBindRetry", 3),
        "tcpKeepAlive": (
            None
            if system.getProperty("zookeeper.tcpKeepAlive") is None
            else bool(boolean.getBoolean("zookeeper.tcpKeepAlive"))
        ),
        "fastleader.minNotificationInterval": get_integer("fastleader.minNotificationInterval", 200),
        "fastleader.maxNotificationInterval": get_integer("fastleader.maxNotificationInterval", 60_000),
        "observer.election.DelayMs": int(
            long.getLong("zookeeper.observer.election.DelayMs", long.valueOf(200)).longValue()
        ),
        "db.autocreate": bool(boolean.parseBoolean(text("db.autocreate", "true"))),
        "snapshot.trust.empty": bool(boolean.getBoolean("zookeeper.snapshot.trust.empty")),
        "admin.enableServer": text("admin.enableServer", "true") != "false",
        "admin.serverAddress": text("admin.serverAddress", "0.0.0.0"),
        "admin.serverPort": get_integer("admin.serverPort", 8080),
        "admin.idleTimeout": get_integer("admin.idleTimeout", 30_000),
    }


if __name__ == "__main__":
    jvm.answer(reply)
