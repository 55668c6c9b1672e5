"""Finding out that a leader is gone, so that a promise to it need not be kept to the end of its lease."""

from typing import Final

import structlog
import trio

from trio_fle.ensemble import Ensemble
from trio_fle.errors import ConnectionLostError, RefusedError
from trio_fle.member.commitments import Commitments
from trio_fle.peers import Transport
from trio_fle.peers.quiet import Backoff

_FIRST_S: Final = 0.005
_MAX_S: Final = 0.2


async def release_when_gone(
    commitments: Commitments,
    ensemble: Ensemble,
    transport: Transport,
    log: structlog.typing.FilteringBoundLogger,
) -> None:
    """Dial the leader that was promised something, until nobody listens there or the promise is over.

    To be run when the leader's end has closed the link to it, or this process is new. A leader listens on its
    quorum port for as long as it leads, and whatever it guards; so a port that refuses has no leader.
    """
    promise = commitments.promise
    if promise is None or promise.leader not in ensemble.servers:
        return
    addresses = [address.quorum for address in ensemble.servers[promise.leader].addresses]
    backoff = Backoff(_FIRST_S, _MAX_S)
    while commitments.promise is promise and commitments.clock() < promise.until:
        await trio.sleep(backoff.next())
        left_s = max(0.0, promise.until - commitments.clock())
        try:
            with trio.move_on_after(left_s):
                stream = await transport.dial(addresses)
                await trio.aclose_forcefully(stream)
        except RefusedError:
            if commitments.promise is promise:
                log.info("promise.released", leader=promise.leader, epoch=promise.epoch)
                commitments.release(promise.leader)
            return
        except ConnectionLostError:
            continue
