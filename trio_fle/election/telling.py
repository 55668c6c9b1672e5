"""Who has to be told of the end of an election, and when."""

from collections.abc import Mapping
from typing import Final

from trio_fle.election.events import Outcome, Settled
from trio_fle.election.round import Election
from trio_fle.vote import PeerState
from trio_fle.wire import Notification

TELL_WITHIN_S: Final = 0.01
"""How long an heir that has won may wait to be established before it tells other voters; mostly a moment.

Each of them calls as soon as it is told, and whoever asks for the leader meanwhile shall not wait for that.
"""


def who_lacks(outcome: Outcome, election: Election, said: Mapping[int, Notification]) -> list[int]:
    """Return the voters that have to be told of an outcome; ``said``: what each said last in that election.

    Who has joined a leader tells all that remember that it looked for another one. The heir that leads
    tells those who voted for it, and would wait for the others. Else it is those who look for a leader by
    another vote, or in another round, or were not told of this vote yet: what they said while this
    election was about to end was no better, so that nothing answered it, and they would say it again at
    their next resend, a minute later maybe.
    """
    me, voters = election.electorate.me, election.electorate.voters
    if not election.options.early_finalize or me not in voters:
        return []
    if outcome.settled is Settled.JOINED and election.was_heard:
        return sorted(voters - {me})
    said = {sid: heard for sid, heard in sorted(said.items()) if sid in voters}
    if outcome.settled is Settled.ACCEPTED:
        return list(said)
    looking = {sid: heard for sid, heard in said.items() if heard.state is PeerState.LOOKING}
    if election.is_quiet:
        knows = outcome.vote.leader if election.succession.acceptance is not None else None
        return [sid for sid in looking if sid != knows]
    ours = outcome.vote, outcome.round
    return [sid for sid, heard in looking.items() if (heard.vote, heard.round) != ours]
