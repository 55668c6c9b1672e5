"""zoo.cfg and what overrides it, read into one frozen value."""

from trio_fle.config.load import load_config
from trio_fle.config.member_config import AdminOptions, MemberConfig, TransportOptions
from trio_fle.config.myid import myid_from_hostname
from trio_fle.config.repeated import refuse_repeated_keys

__all__ = [
    "AdminOptions",
    "MemberConfig",
    "TransportOptions",
    "load_config",
    "myid_from_hostname",
    "refuse_repeated_keys",
]
