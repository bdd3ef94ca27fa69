"""What a server process does without."""

import sys


def leave_out_rich() -> None:
    """Have structlog, imported later, not import rich: tracebacks in frames are not shown anyway (logs.py).

    That spares each process 3 MB, and each start 50 ms.
    """
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # None: it can't be imported
