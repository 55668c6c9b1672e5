"""The time-outs that follow from a configuration, and findings about them."""

from collections.abc import Iterator
from typing import Final

from trio_fle.check.finding import Finding, warning
from trio_fle.config import MemberConfig
from trio_fle.peers.names import Names

MIN_SYNC_MS: Final = 500
"""A pause of some hundred ms is nothing special on a network, in a garbage collection or on a busy host."""

MAX_SYNC_MS: Final = 60_000


def timeouts(config: MemberConfig) -> dict[str, float]:
    """Return every time-out in ms by its name, in the order in which they are told."""
    transport = config.transport
    return {
        "tick_ms": config.tick_time_ms,
        "init_ms": _ms(config.init_s),
        "sync_ms": _ms(config.sync_s),
        "connect_ms": _ms(config.connect_s),
        "dial_ms": _ms(transport.cnx_timeout_s),
        "handshake_ms": _ms(transport.handshake_timeout_s),
        "finalize_ms": _ms(config.election.finalize_wait_s),
        "lease_ms": _ms(config.sync_s * (1 - config.lease_margin)),
        "lease_margin_ms": _ms(config.sync_s * config.lease_margin),
    }


def _ms(seconds: float) -> float:
    milliseconds = round(1000 * seconds, 3)
    return int(milliseconds) if milliseconds == int(milliseconds) else milliseconds


def timing_findings(config: MemberConfig, names: Names) -> Iterator[Finding]:
    """Yield time-outs that can't work, or are a risk. On loopback alone, short ones are for a test."""
    ms = timeouts(config)
    far = not all(
        names.is_loopback(address.host)
        for server in config.ensemble.servers.values()
        for address in server.addresses
    )
    if far and ms["sync_ms"] < MIN_SYNC_MS:
        yield warning(
            "short_sync",
            f"tickTime * syncLimit is {ms['sync_ms']} ms: a short pause of a host or network then costs "
            f"the leader; give {MIN_SYNC_MS} ms or more",
        )
    if far and ms["handshake_ms"] < MIN_SYNC_MS and ms["handshake_ms"] != ms["sync_ms"]:
        yield warning(
            "short_handshake",
            f"quorumCnxnTimeoutMs is {ms['handshake_ms']} ms: slow connections will never come about; "
            f"give {MIN_SYNC_MS} or more",
        )
    if far and ms["dial_ms"] < MIN_SYNC_MS:
        yield warning(
            "short_dial",
            f"cnxTimeout is {ms['dial_ms']} ms: a lost packet is sent again after a second; give 5000",
        )
    if ms["sync_ms"] > MAX_SYNC_MS:
        yield warning(
            "long_sync",
            f"tickTime * syncLimit is {ms['sync_ms']} ms: for so long nobody replaces a leader that falls "
            f"silent; give {MAX_SYNC_MS} ms or less",
        )
    if config.init_limit < config.sync_limit:
        yield warning(
            "init_below_sync",
            f"initLimit={config.init_limit} is less than syncLimit={config.sync_limit}: a follower that "
            "joins, with everything to load, gets less time than one that is idle; give initLimit at least "
            "as much",
        )
    if config.lease_margin == 0:
        yield warning(
            "no_lease_margin",
            "fle.leaseMargin=0 %: if one clock runs a little faster, two members may lead at once; give 10 %",
        )
    yield from _session_findings(config, ms["sync_ms"])


def _session_findings(config: MemberConfig, sync_ms: float) -> Iterator[Finding]:
    """Look at the sessions of clients of Java servers; members of ours have none."""
    longest_ms = config.session_timeouts_ms[1]
    if {"minSessionTimeout", "maxSessionTimeout"} & config.settings.keys() and longest_ms <= sync_ms:
        yield warning(
            "short_session",
            f"maxSessionTimeout is {longest_ms} ms, and tickTime * syncLimit {sync_ms} ms: when a leader "
            "falls silent, all sessions expire before there is another; make it larger",
        )
