"""What an operator may set about elections."""

from typing import Final

import attrs

RESEND_MIN_S: Final = 0.2
RESEND_MAX_S: Final = 60.0
FINALIZE_WAIT_S: Final = 0.2


@attrs.frozen
class ElectionOptions:
    """Time-outs (seconds) and choices of one member; the defaults are ZooKeeper's constants."""

    resend_min_s: float = RESEND_MIN_S
    """First wait before a vote is repeated (``fastleader.minNotificationInterval``); it doubles."""

    resend_max_s: float = RESEND_MAX_S
    """Longest such wait (``fastleader.maxNotificationInterval``)."""

    finalize_wait_s: float = FINALIZE_WAIT_S
    """How long a vote with a quorum waits for a better one (``fle.finalizeWait``)."""

    early_finalize: bool = True
    """False: ZooKeeper's exact behaviour, in which any message begins the finalize wait anew
    (``fle.earlyFinalize``). True: the wait counts from the moment the quorum formed."""

    candidate: bool = True
    """False: this voter never proposes itself (``fle.candidate``)."""

    reconfig: bool = False
    """Whether a newer configuration that is heard of while LOOKING is adopted (``reconfigEnabled``)."""
