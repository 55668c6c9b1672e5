"""An ensemble member: from LOOKING to a role and back, for as long as its block lasts."""

from trio_fle.member.feeds import Changes, Terms
from trio_fle.member.member import Member
from trio_fle.member.opening import lease_clock, open_member
from trio_fle.member.status import MemberStatus, PeerStatus, Phase
from trio_fle.member.term import Term

__all__ = [
    "Changes",
    "Member",
    "MemberStatus",
    "PeerStatus",
    "Phase",
    "Term",
    "Terms",
    "lease_clock",
    "open_member",
]
