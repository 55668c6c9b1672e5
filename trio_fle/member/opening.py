"""Opening a member: everything that it starts ends with the block."""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import structlog
import trio

from trio_fle.config import MemberConfig
from trio_fle.election.electorate import Electorate
from trio_fle.election.events import OracleSaid
from trio_fle.election.fle import FastLeaderElection
from trio_fle.errors import FleError, StorageError
from trio_fle.member.commitments import Commitments
from trio_fle.member.electing import ElectionTask
from trio_fle.member.member import Member
from trio_fle.member.membership import Membership, identity_of, redial_max_s
from trio_fle.member.oracle import Oracle, OracleFile, OracleSource
from trio_fle.peers import ConnectionManager, TcpTransport, Transport
from trio_fle.storage import ConfigFiles, DurableConfigFiles, DurableStorage, Storage

STOP_WITHIN_S: Final = 5.0
"""How long leaving the block in good order may take beyond the end of what runs in a term."""


def lease_clock() -> float:
    """Return seconds that count on while the machine sleeps, where the platform has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def quiet_logger() -> structlog.typing.FilteringBoundLogger:
    """Return a logger that drops everything: a library does not write to its host's output unasked."""

    def drop(*_: object) -> structlog.typing.EventDict:
        raise structlog.DropEvent

    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        None, processors=[drop], wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL)
    ).bind()
    return logger


@asynccontextmanager
async def open_member(
    config: MemberConfig,
    *,
    transport: Transport | None = None,
    storage: Storage | None = None,
    files: ConfigFiles | None = None,
    log: structlog.typing.FilteringBoundLogger | None = None,
    clock: Callable[[], float] = lease_clock,
    oracle: OracleSource | None = None,
) -> AsyncIterator[Member]:
    """Run a member of the ensemble as long as the block lasts; it listens when the block begins.

    Leaving it stops the member in good order (a leader resigns, a follower leaves its leader); an error or a
    cancellation stops it at once. Tests may replace ``transport`` (TCP), ``storage``, ``files`` (zoo.cfg and
    beside it), ``log`` (silent), ``clock`` of the lease (never stops), ``oracle``.

    Raises ``StorageError`` where the data directory can't be used, is in use, or can't be written any more,
    and ``ListenError`` where the election port can't be had. Any other error is a bug, and ends the block.
    """
    transport = transport or TcpTransport(config.transport)
    storage = storage or DurableStorage(
        config.data_dir, config.data_log_dir, trust_empty=config.trust_empty, autocreate=config.autocreate
    )
    raised, in_order = list[BaseException](), False
    try:
        member = await build_member(config, transport, storage, files, log or quiet_logger(), clock, oracle)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storage.tend)
            await nursery.start(member.run)
            try:
                yield member
            except BaseException as error:
                raised.append(error)
                raise
            with trio.move_on_after(_bound_s(member)):
                await member.stop()
            nursery.cancel_scope.cancel()
        in_order = True
    except BaseExceptionGroup as group:
        cause = _only_error(group)
        if isinstance(cause, FleError) or cause in raised:
            raise cause from group
        raise
    finally:
        await _put_away(storage, in_order)


async def build_member(
    config: MemberConfig,
    transport: Transport,
    storage: Storage,
    files: ConfigFiles | None,
    log: structlog.typing.FilteringBoundLogger,
    clock: Callable[[], float],
    oracle: OracleSource | None = None,
) -> Member:
    """Load the data directory and put a member's parts together; nothing runs yet.

    Raises ``StorageError`` where the data directory can't be used, or a changed configuration not be kept.
    """
    commitments = Commitments(storage, clock, await storage.load())
    options = config.election
    electorate = Electorate(
        config.myid,
        config.learner_type,
        options.candidate,
        config.ensemble,
        config.seen,
        exact=not options.early_finalize,
    )
    election = ElectionTask(FastLeaderElection(electorate, options), log)
    manager = ConnectionManager(
        identity_of(config), config.transport, transport, election.deliver, log, election.note_presence
    )
    manager.redial_max_s = redial_max_s(config)
    election.manager = manager
    files = files or DurableConfigFiles(config.path)
    if config.reconfig_enabled:
        await files.check()
    membership = Membership(config, files, storage, election, manager, log)
    member = Member(membership, transport, commitments, election, manager, log)
    member.oracle = _consult(oracle, config, election, log, clock)
    return member


def _consult(
    source: OracleSource | None,
    config: MemberConfig,
    election: ElectionTask,
    log: structlog.typing.FilteringBoundLogger,
    clock: Callable[[], float],
) -> Oracle | None:
    """Return what asks the oracle, if there is one, and tells the election."""
    if config.oracle_path is None:
        return None
    return Oracle(
        config,
        source or OracleFile(config.oracle_path),
        clock,
        log,
        lambda: election.fle.electorate.has_oracle,
        lambda yes: election.put(config.myid, OracleSaid(yes)),
    )


async def _put_away(storage: Storage, in_order: bool) -> None:
    """Finish what may be done late; where something else has gone wrong, that counts, not a disk now."""
    try:
        with trio.CancelScope(shield=True):
            await storage.settle()
    except StorageError:
        if in_order:  # else the next start does it
            raise
    finally:
        storage.close()


def _bound_s(member: Member) -> float:
    left_s = member.status.lease_left_s(member.clock())
    return STOP_WITHIN_S + (0 if math.isinf(left_s) else left_s)


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the one thing that went wrong, if nothing else did."""
    if len(group.exceptions) != 1:
        return None
    (error,) = group.exceptions
    return _only_error(error) if isinstance(error, BaseExceptionGroup) else error
