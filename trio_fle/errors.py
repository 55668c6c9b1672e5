"""The error tree: each branch says whose fault it is, and so what happens next."""


class FleError(Exception):
    """Root of whatever this package raises on purpose; the message says what to do."""


class ConfigError(FleError):
    """The configuration (zoo.cfg, the dynamic file, myid, an option) is wrong: exit status 2."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class MemberStoppedError(FleError):
    """The member can't go on (data directory, ports): the process ends with exit status 3."""


class StorageError(MemberStoppedError):
    """The data directory is unreadable or contradicts itself; nothing in it was overwritten."""


class ListenError(MemberStoppedError):
    """The election port could not be bound, after all the retries that were configured."""


class PeerError(FleError):
    """One connection is of no more use: it is closed and dialled again, the member goes on."""


class ConnectionLostError(PeerError):
    """The network, or the peer in good order, ended the connection."""


class RefusedError(ConnectionLostError):
    """Every address of a server was there, and refused: no process listens on its port."""


class MalformedMessageError(PeerError):
    """The peer broke the wire format; the message speaks of lengths and fields, never of raw bytes."""
