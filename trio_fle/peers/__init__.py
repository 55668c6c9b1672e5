"""One live election connection per pair of servers, by ZooKeeper's id rule, seen from both sides."""

from trio_fle.peers.connection import Connection
from trio_fle.peers.mailbox import Inbox
from trio_fle.peers.manager import ConnectionManager, Identity
from trio_fle.peers.transport import TcpTransport, Transport

__all__ = ["Connection", "ConnectionManager", "Identity", "Inbox", "TcpTransport", "Transport"]
