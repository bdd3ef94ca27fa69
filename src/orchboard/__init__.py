"""orchboard: the orchestrator leaderboard server of the Livepeer network."""

import sys

__version__ = "0.1.0"

# structlog imports rich where it finds it, for tracebacks in frames, which are not shown here (logs.py): 3 MB of
# each worker, and 50 ms of each start.
_is_new = "rich" not in sys.modules
sys.modules.setdefault("rich", None)  # type: ignore[arg-type] # whoever imports it now is told that it is not there
import structlog as structlog  # noqa: E402

if _is_new:
    del sys.modules["rich"]
del _is_new
