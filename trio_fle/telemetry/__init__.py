"""What a member tells: its log."""

from trio_fle.telemetry.logs import build_logger
from trio_fle.telemetry.writer import LogWriter

__all__ = ["LogWriter", "build_logger"]
