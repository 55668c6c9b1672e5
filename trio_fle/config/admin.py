"""Where a member may be asked: ``admin.*``, ``clientPort`` and what belongs to it."""

import ipaddress
from typing import Final

from trio_fle.config.member_config import AdminOptions
from trio_fle.config.settings import Settings
from trio_fle.ensemble import HostPort, Server, is_wildcard
from trio_fle.ensemble.address import normal_host

_ANY_HOST: Final = "0.0.0.0"  # noqa: S104 (ZooKeeper's default)
_LOOPBACK: Final = "127.0.0.1"
_ALWAYS: Final = "srvr"
"""The word that ZooKeeper answers whatever its white list says, since its own scripts ask it."""


def admin_options(settings: Settings, me: Server) -> AdminOptions:
    """Read the keys of the HTTP server and of the client port. Raises ``ConfigError``."""
    return AdminOptions(
        enabled=_enabled(settings),
        address=HostPort(
            _host(settings, "admin.serverAddress"), settings.property_port("admin.serverPort", 8080)
        ),
        idle_timeout_s=settings.property_integer("admin.idleTimeout", 30_000, at_least=1) / 1000,
        client_address=_client_address(settings, me),
        whitelist=_whitelist(settings),
    )


def _enabled(settings: Settings) -> bool:
    """Return whether to serve HTTP: whatever is not the very word false says yes.

    Source: ``AdminServerFactory``.
    """
    key = "admin.enableServer"
    text = settings.text(key) or "true"
    if text not in ("true", "false"):
        settings.warnings.append(
            f'{settings.place(key)}: {key}: "{text[:40]}" is not false, so it is on; write false or true'
        )
    return text != "false"


def _host(settings: Settings, key: str) -> str:
    """Return a host; an IPv6 literal may stand in brackets, as in a server line."""
    return normal_host((settings.text(key) or _ANY_HOST).removeprefix("[").removesuffix("]"))


def _client_address(settings: Settings, me: Server) -> HostPort | None:
    """Return the client address: that of the own server line, which zoo.cfg must not contradict.

    An address that is there and empty is the loopback interface. Source:
    ``QuorumPeerConfig.setupClientPort``, ``InetAddress.getByName``.
    """
    port = settings.port("clientPort", 0, at_least=0)
    if port == 0:
        if "clientPortAddress" in settings:
            raise settings.error(
                "clientPortAddress", "is set, but clientPort is not; add a line such as clientPort=2181"
            )
        return me.client
    loopback = "clientPortAddress" in settings and settings.text("clientPortAddress") is None
    own = HostPort(_LOOPBACK if loopback else _host(settings, "clientPortAddress"), port)
    if me.client is None:
        return own
    if own.port != me.client.port or not (is_wildcard(own.host) or _may_be_same(own.host, me.client.host)):
        key = "clientPort" if own.port != me.client.port else "clientPortAddress"
        raise settings.error(
            key, f"{own} is not {me.client}, the client address in server.{me.sid}; remove one of the two"
        )
    return me.client


def _may_be_same(one: str, other: str) -> bool:
    """Whether two hosts may be the same: all but two different numeric addresses, as no name is looked up."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return True


def _whitelist(settings: Settings) -> frozenset[str]:
    key = "4lw.commands.whitelist"
    words = {word.strip() for word in (settings.text(key) or "").split(",")} - {""}
    settings.warnings += [
        f'{settings.place(key)}: {key}: "{word[:40]}" is no word of four letters; put commas between words'
        for word in sorted(words)
        if word != "*" and len(word) != len(_ALWAYS)
    ]
    return frozenset(words | {_ALWAYS})
