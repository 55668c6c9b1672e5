"""The data directory. Everything here blocks: call it through a thread."""

from trio_fle.storage.initial_vote import StoredVote, load_stored_vote

__all__ = ["StoredVote", "load_stored_vote"]
