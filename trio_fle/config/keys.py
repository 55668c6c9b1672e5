"""Every key that ZooKeeper 3.4 to 3.9 reads, and our own.

Most of them say nothing to an election; they are known so that a mistyped one can be told from them, and
so that a file which a Java server refuses is refused here, too.
"""

from typing import Final

MEMBER_PREFIXES: Final = ("server.", "group", "weight")
"""What the keys begin with that make up the ensemble: ``server.1``, ``group.1``, ``weight.1``."""

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

INTEGERS: Final = frozenset(
    """
    tickTime initLimit syncLimit connectToLearnerMasterLimit electionAlg clientPort secureClientPort
    observerMasterPort clientPortListenBacklog maxClientCnxns minSessionTimeout maxSessionTimeout
    autopurge.snapRetainCount autopurge.purgeInterval quorum.cnxn.threads.size
    multiAddress.reachabilityCheckTimeoutMs
    """.split()
)
"""What the parser of zoo.cfg reads as a Java int, and refuses otherwise."""

LONGS: Final = frozenset(
    "jvm.pause.info-threshold.ms jvm.pause.warn-threshold.ms jvm.pause.sleep.time.ms".split()
)
"""What it reads as a Java long."""

BOOLEANS: Final = frozenset(
    """
    quorumListenOnAllIPs standaloneEnabled reconfigEnabled syncEnabled localSessionsEnabled
    localSessionsUpgradingEnabled sslQuorum portUnification sslQuorumReloadCertFiles quorum.auth.enableSasl
    quorum.auth.serverRequireSasl quorum.auth.learnerRequireSasl multiAddress.enabled
    multiAddress.reachabilityCheckEnabled jvm.pause.monitor
    """.split()
)
"""What it reads as true or false, and refuses otherwise."""

_TEXTS: Final = frozenset(
    """
    dataDir dataLogDir clientPortAddress secureClientPortAddress peerType dynamicConfigFile oraclePath
    quorum.auth.learner.saslLoginContext quorum.auth.server.saslLoginContext
    quorum.auth.kerberos.servicePrincipal metricsProvider.className version
    """.split()
)

FILE_ONLY: Final = INTEGERS | LONGS | BOOLEANS | _TEXTS | OWN
"""What is read from zoo.cfg, and not from a system property of the same name."""

PROPERTIES: Final = frozenset(
    """
    electionPortBindRetry cnxTimeout quorumCnxnTimeoutMs tcpKeepAlive fastleader.minNotificationInterval
    fastleader.maxNotificationInterval observer.election.DelayMs db.autocreate snapshot.trust.empty
    4lw.commands.whitelist admin.enableServer admin.serverAddress admin.serverPort admin.idleTimeout

    leader.maxTimeToWaitForEpoch leaderConnectDelayDuringRetryMs observer.reconnectDelayMs leaderServes
    forceSnapshotSync leader.maxConcurrentSnapSyncs leader.maxConcurrentDiffSyncs leader.closeSocketAsync
    leader.ackLoggingFrequency learner.closeSocketAsync learner.asyncSending observerMaster.sizeLimit
    observer.syncEnabled follower.skipLearnerRequestToNextProcessor kerberos.canonicalizeHostNames
    kerberos.removeHostFromPrincipal kerberos.removeRealmFromPrincipal fips-mode

    preAllocSize snapCount snapshotSizeFactor snapSizeLimitInKb txnLogSizeLimitInKb commitLogCount
    datadir.autocreate forceSync fsync.warningthresholdms snapshot.compression.method digest.enabled
    serializeLastProcessedZxid.enabled flushDelay maxWriteQueuePollTime maxBatchSize

    admin.commandURL admin.httpVersion admin.portUnification admin.forceHttps admin.needClientAuth
    admin.rateLimiterIntervalInMS admin.snapshot.enabled admin.snapshot.intervalInMS admin.restore.enabled
    admin.restore.intervalInMS metricsProvider.httpPort metricsProvider.httpHost
    metricsProvider.exportJvmInfo audit.enable audit.impl.class jmx.log4j.disable

    skipACL globalOutstandingLimit requireClientAuthScheme jaasLoginRenew serverCnxnFactory
    extendedTypesEnabled emulate353TTLNodes maxCnxns clientTcpKeepAlive client.portUnification
    client.certReload sessionRequireClientSASLAuth allowSaslFailedClients enforce.auth.enabled
    enforce.auth.schemes enforceQuota superUser letAnySaslUserDoX security.auth_to_local
    DigestAuthenticationProvider.digestAlg DigestAuthenticationProvider.enabled
    DigestAuthenticationProvider.superDigest SASLAuthenticationProvider.superPassword
    X509AuthenticationProvider.superUser IPAuthenticationProvider.usexforwardedfor
    ensembleAuthName enableEagerACLCheck closeSessionTxn.enabled bitHashCacheSize watchManagerName
    watcherCleanIntervalInSeconds watcherCleanThreadsNum watcherCleanThreshold maxInProcessingDeadWatchers
    maxResponseCacheSize maxGetChildrenResponseCacheSize largeRequestMaxBytes largeRequestThreshold
    request_throttle_max_requests request_throttle_stall_time request_throttle_drop_stale
    request_stale_latency_check request_stale_connection_check request_throttler.shutdownTimeout
    throttled_op_wait_time commitProcessor.numWorkerThreads commitProcessor.shutdownTimeout
    commitProcessor.maxReadBatchSize commitProcessor.maxCommitBatchSize nio.numSelectorThreads
    nio.numWorkerThreads nio.directBufferBytes nio.shutdownTimeout nio.sessionlessCnxnTimeout
    netty.server.outstandingHandshake.limit netty.advancedFlowControl.enabled
    netty.server.earlyDropSecureConnectionHandshakes connection_throttle_tokens
    connection_throttle_fill_time connection_throttle_fill_count connection_throttle_freeze_time
    connection_throttle_drop_increase connection_throttle_drop_decrease
    connection_throttle_decrease_ratio connection_throttle_weight_enabled
    connection_throttle_global_session_weight connection_throttle_local_session_weight
    connection_throttle_renew_session_weight messageTracker.BufferSize messageTracker.Enabled
    pathStats.enabled
    """.split()
)
"""What a line of zoo.cfg only turns into the system property ``zookeeper.KEY``, which may be given itself."""

SWITCHES_BY_PROPERTY: Final = frozenset(
    """
    multiAddress.enabled multiAddress.reachabilityCheckEnabled multiAddress.reachabilityCheckTimeoutMs
    """.split()
)
"""Keys of zoo.cfg whose default is the system property ``zookeeper.KEY``."""

BARE_PROPERTIES: Final = frozenset(
    "leader.nodelay follower.nodelay jute.maxbuffer readonlymode.enabled".split()
)
"""System properties without ``zookeeper.`` in front: no line of zoo.cfg can set one."""

KNOWN: Final = FILE_ONLY | PROPERTIES

OPEN_PREFIXES: Final = ("metricsProvider.", "authProvider.", "ssl.", "fle.advertise.")
"""Families of keys whose names are the user's own choice."""


def is_known(key: str) -> bool:
    """Whether somebody reads this key."""
    return key in KNOWN or key.startswith(OPEN_PREFIXES) or is_member_key(key)


def is_member_key(key: str) -> bool:
    """Whether the key says who belongs to the ensemble. Source: ``QuorumPeerConfig.parseDynamicConfig``."""
    return key.startswith(MEMBER_PREFIXES)
