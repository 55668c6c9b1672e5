"""What a member tells: its log, the service manager, and whether its loop was held up."""

from trio_fle.telemetry.logs import build_logger
from trio_fle.telemetry.loop import watch_loop
from trio_fle.telemetry.systemd import Notifier
from trio_fle.telemetry.writer import LogWriter

__all__ = ["LogWriter", "Notifier", "build_logger", "watch_loop"]
