"""Every key that ZooKeeper 3.4 to 3.9 reads from zoo.cfg, and our own.

Most of them say nothing to an election; they are known so that a mistyped one can be told from them.
"""

from typing import Final

SERVER_KINDS: Final = frozenset({"server", "group", "weight"})
"""First part of the keys that make up the ensemble: ``server.1``, ``group.1``, ``weight.1``."""

OWN: Final = frozenset(
    {"fle.finalizeWait", "fle.earlyFinalize", "fle.candidate", "fle.leaseMargin", "fle.acceptNewEnsemble"}
)
"""Keys of ours, beside ``fle.advertise.N``; ZooKeeper ignores them."""

UNSUPPORTED: Final = {
    "sslQuorum": "TLS between servers",
    "portUnification": "TLS between servers",
    "quorum.auth.enableSasl": "SASL between servers",
}
"""Switches that would change what is on the wire: refused when true, never ignored."""

_READ_BY_US: Final = frozenset(
    """
    dataDir dataLogDir tickTime initLimit syncLimit electionAlg peerType clientPort dynamicConfigFile
    reconfigEnabled quorumListenOnAllIPs electionPortBindRetry cnxTimeout quorumCnxnTimeoutMs tcpKeepAlive
    fastleader.minNotificationInterval fastleader.maxNotificationInterval observer.election.DelayMs
    multiAddress.enabled oraclePath
    db.autocreate snapshot.trust.empty connectToLearnerMasterLimit clientPortAddress 4lw.commands.whitelist
    admin.enableServer admin.serverAddress admin.serverPort admin.idleTimeout
    """.split()
)

_READ_BY_ZOOKEEPER: Final = frozenset(
    """
    secureClientPort secureClientPortAddress minSessionTimeout maxSessionTimeout standaloneEnabled
    localSessionsEnabled
    localSessionsUpgradingEnabled syncEnabled observerMasterPort quorum.cnxn.threads.size
    leader.maxTimeToWaitForEpoch leaderConnectDelayDuringRetryMs observer.reconnectDelayMs leader.nodelay
    follower.nodelay leaderServes forceSnapshotSync leader.maxConcurrentSnapSyncs
    leader.maxConcurrentDiffSyncs leader.closeSocketAsync learner.closeSocketAsync learner.asyncSending
    observerMaster.sizeLimit multiAddress.reachabilityCheckEnabled
    multiAddress.reachabilityCheckTimeoutMs quorum.auth.learnerRequireSasl quorum.auth.serverRequireSasl
    quorum.auth.learner.saslLoginContext quorum.auth.server.saslLoginContext
    quorum.auth.kerberos.servicePrincipal kerberos.canonicalizeHostNames sslQuorumReloadCertFiles
    ssl.quorum.keyStore.location ssl.quorum.keyStore.password ssl.quorum.keyStore.passwordPath
    ssl.quorum.keyStore.type ssl.quorum.trustStore.location ssl.quorum.trustStore.password
    ssl.quorum.trustStore.passwordPath ssl.quorum.trustStore.type ssl.quorum.protocol
    ssl.quorum.enabledProtocols ssl.quorum.ciphersuites ssl.quorum.hostnameVerification
    ssl.quorum.clientHostnameVerification ssl.quorum.allowReverseDnsLookup ssl.quorum.clientAuth
    ssl.quorum.crl ssl.quorum.ocsp ssl.quorum.handshakeDetectionTimeoutMillis
    ssl.quorum.context.supplier.class fips-mode preAllocSize snapCount snapshotSizeFactor commitLogCount
    datadir.autocreate autopurge.snapRetainCount
    autopurge.purgeInterval admin.commandURL metricsProvider.className metricsProvider.httpPort
    metricsProvider.httpHost metricsProvider.exportJvmInfo maxClientCnxns
    clientPortListenBacklog forceSync skipACL globalOutstandingLimit authProvider.sasl
    requireClientAuthScheme jaasLoginRenew serverCnxnFactory extendedTypesEnabled maxCnxns
    fsync.warningthresholdms snapshot.compression.method
    """.split()
)

KNOWN: Final = _READ_BY_US | _READ_BY_ZOOKEEPER | OWN | frozenset(UNSUPPORTED)

OPEN_PREFIXES: Final = ("metricsProvider.", "authProvider.", "ssl.", "fle.advertise.")
"""Families of keys whose names are the user's own choice."""


def is_known(key: str) -> bool:
    """Whether somebody reads this key."""
    return key in KNOWN or key.startswith(OPEN_PREFIXES) or key.partition(".")[0] in SERVER_KINDS
