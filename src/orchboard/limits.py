"""Every limit of the server on time, size and number: name, value and reason.

Names end in their unit: `_S` is seconds, `_BYTES` bytes; all others are counts. `tests/test_limits.py` holds the sums
between them, and docs/limits.md is written from this file (`make docs`). Code reads them when it needs them, as
`limits.NAME`, so that a test replaces one here.
"""

from typing import Final

# Requests and connections

CDN_MAX_AGE_S: Final = 5
"""How long Vercel's network may repeat an answer."""
MAX_CATALYST_BYTES: Final = 4 * 1024 * 1024
"""Limit on the document at `CATALYST_REGION_URL`."""

# Results and answers

RAW_CACHE_BYTES: Final = 4 * 1024 * 1024
"""Memory for the raw results of the orchestrators asked for last."""

# Change detection

TESTER_STALENESS_S: Final = 1.0
"""A tester's key may be accepted this long after it was revoked, and be unknown this long after it was added."""
RAW_CACHE_IDLE_S: Final = 300.0
"""Raw results that were not read for this long are read again as a whole."""
RAW_COUNT_INTERVAL_S: Final = 0.5
"""Minimum interval between counts that find other servers' late inserts: 10 ms for 20,000 results."""

# Database

PREFLIGHT_S: Final = 3.0
"""At startup, the time limit for a database that does not respond. Then the server starts and answers 503."""
MIGRATION_S: Final = 5.0
"""At startup, the time limit for migrations. Longer ones continue while the server answers 503."""

# Shutdown and supervision

WORKER_START_S: Final = 120.0
"""A worker that does not serve after this long is ended. Usually it serves within 2 s."""
WORKER_SILENCE_S: Final = 30.0
"""A worker whose event loop stood still for this long is killed: it holds connections and answers none."""
WORKER_STOP_S: Final = 30.0
"""A worker that did not stop within this time is killed. It needs 10 s at most."""
SUPERVISOR_GIVE_UP_S: Final = 60.0
"""Without a serving worker for this long, the supervisor exits."""
LISTEN_BACKLOG: Final = 2048
"""Connections that may wait in the listening socket."""

# Migration, mirror and import

MIGRATION_LOCK_S: Final = 0.5
"""How long a statement of a migration waits for a lock before it lets others pass and is tried again: queries queue
behind it. Below PostgreSQL's `deadlock_timeout`, so that no reader is chosen as the victim.
"""
TABLE_MOVE_LOCK_S: Final = 0.2
"""How long dropping the old table waits for its lock, for the two reasons above."""
MIRROR_RETRY_S: Final = 300.0
"""How long a request to the mirrored server is repeated. A server that asks for a longer pause is left alone."""
MAX_MIRROR_BYTES: Final = 16 * 1024 * 1024
"""Limit on an answer of the mirrored server, which takes five times its size in memory. The time range is then split.
"""
MAX_MIRROR_SECOND_BYTES: Final = 128 * 1024 * 1024
"""Limit on the answer for one second, which can't be split."""
MAX_MIRROR_FAILURES: Final = 40
"""Failures without a good answer between them after which mirroring ends. One result that the server can't read causes
17: one for each split from a day to a second.
"""
SORT_RUN_BYTES: Final = 64 * 1024 * 1024
"""Lines that are sorted in memory, which takes 80 MB. 10,000,000 results of 430 bytes make 64 runs."""
MAX_LISTED_REFUSALS: Final = 1000
"""Refused results that are listed. Further ones are only counted."""
MAX_MOVED_ROWS: Final = 5000
"""Results that are moved from the old table in one transaction."""
MIGRATE_LOCK_S: Final = 600.0
"""How long `orchboard migrate` waits for another migration."""
