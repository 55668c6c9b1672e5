"""An ensemble member: from LOOKING to a role and back, for as long as the process lives."""

from trio_fle.member.member import run_member

__all__ = ["run_member"]
