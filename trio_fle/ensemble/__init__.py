"""Who belongs to an ensemble: addresses, server lines, and the configuration text that servers exchange."""

from trio_fle.ensemble.address import HostPort, is_loopback, is_numeric, is_wildcard
from trio_fle.ensemble.ensemble import Ensemble, build_ensemble, parse_ensemble
from trio_fle.ensemble.server import Server, ServerAddress, parse_server

__all__ = [
    "Ensemble",
    "HostPort",
    "Server",
    "ServerAddress",
    "build_ensemble",
    "is_loopback",
    "is_numeric",
    "is_wildcard",
    "parse_ensemble",
    "parse_server",
]
