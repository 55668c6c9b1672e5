"""``python -m trio_fle`` is the ``trio-fle`` command."""

from trio_fle.cli import main

main()
