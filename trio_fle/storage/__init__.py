"""The data directory: what it gives a member to vote with, and what a member must keep in it.

All but ``DurableStorage`` blocks: call it through a thread.
"""

from trio_fle.storage.config_files import ConfigFiles, DurableConfigFiles
from trio_fle.storage.durable import DurableStorage
from trio_fle.storage.initial_vote import StoredVote, load_stored_vote
from trio_fle.storage.protocol import Storage
from trio_fle.storage.record import Followed

__all__ = [
    "ConfigFiles",
    "DurableConfigFiles",
    "DurableStorage",
    "Followed",
    "Storage",
    "StoredVote",
    "load_stored_vote",
]
