"""Every limit of the server on time, size and number: name, value and reason.

Names end in their unit: `_S` is seconds, `_BYTES` bytes; all others are counts. `tests/test_limits.py` holds the sums
between them, and docs/limits.md is written from this file (`make docs`). Code refers to them as
`limits.NAME`. Where that is read for each use, a test replaces the value here; defaults of parameters are read at import.
"""

from typing import Final

# Requests and connections

CLIENT_STALL_S: Final = 10.0
"""A request head must be complete this long after its first byte. A body or the reading of a response may not stall
longer. Three lost TCP segments in a row cost 7 s.
"""
MIN_BYTES_PER_S: Final = 8 * 1024
"""The average rate below which a client is cut off: a line of 64 kbit/s. 16 MiB then take 34 minutes."""
LINGER_S: Final = 2.0
"""What a refused client still sends is read and discarded for this long. An immediate close resets the connection, and
the refusal is lost.
"""
CLIENT_CHECK_INTERVAL_S: Final = 2.5
"""Interval between checks of the clients' deadlines. A stalled reader is noticed this late at most."""
MAX_LINGERING_CONNECTIONS: Final = 128
"""Refused connections that may linger, beyond `MAX_CONNECTIONS`. Further ones are closed at once."""
RESERVED_FILES: Final = 128
"""File descriptors reserved for the database, files and the event loop."""
EVICTION_GRACE_S: Final = 1.0
"""A connection that has been idle for less than this is never evicted: a working client's request is there at once.
"""
EVICTION_SCAN_INTERVAL_S: Final = 0.25
"""Minimum interval between scans for a connection to evict: a scan of 4,096 takes 4 ms."""
MAX_HEAD_BYTES: Final = 64 * 1024
"""Limit on a request head, and on trailers and chunk framing, that arrives in pieces. A head that arrives in one read
may be as long as the read.
"""
MAX_TARGET_BYTES: Final = 8192
"""Limit on path and query. The longest valid query, with two names of 256 characters in 12 bytes each, has 6,500.
"""
MAX_QUERY_FIELDS: Final = 100
"""Limit on the fields of a query string."""
MAX_PAGE_ROWS: Final = 1000
"""Limit on the rows of one page of the leaderboard. A row takes 1.5 kB."""
MAX_COMPARED: Final = 6
"""Limit on the orchestrators of one comparison: 15 pairs."""
MAX_SEARCH_CHARACTERS: Final = 56
"""Limit on the text that the leaderboard is searched for: the length of the longest name of an orchestrator."""
MAX_CURSOR_CHARACTERS: Final = 1000
"""Limit on a cursor of the leaderboard. The longest one, with a name of 56 characters, has 400."""
MAX_UNAUTHENTICATED_BODIES: Final = 64
"""Bodies that may be in progress from one address that has not posted a valid signature. A body that arrives with its
head does not count.
"""
MAX_VERIFIED_ADDRESSES: Final = 4096
"""Addresses with a valid signature that are remembered. The oldest is dropped."""
MAX_IDEMPOTENCY_KEY_CHARACTERS: Final = 255
"""Limit on an `Idempotency-Key`."""
MAX_FAST_PATH_TARGET_BYTES: Final = 4096
"""A longer path and query goes to the ASGI application, which checks `MAX_TARGET_BYTES`."""
MAX_CACHED_ROUTES: Final = 4096
"""Entries of the route cache, by path, query and `Accept-Encoding`."""
MAX_CACHED_TARGET_BYTES: Final = 1024
"""Limit on path, query and `Accept-Encoding` of an entry of the route cache."""
MAX_CACHED_REQUESTS: Final = 2048
"""Requests that the route cache recognizes by their bytes."""
MAX_CACHED_REQUEST_BYTES: Final = 1024
"""Limit on a request that the route cache recognizes by its bytes."""
MAX_TEMPLATE_HEAD_BYTES: Final = 2048
"""Limit on the head of a POST that is recognized by its template. Longer ones are parsed each time."""
HEALTH_TIMEOUT_S: Final = 2.0
"""Deadline of `/api/health` and `/readyz`: a frozen database would take `DB_TIMEOUT`."""
MAINTENANCE_CALL_S: Final = 20.0
"""Duration of a maintenance call over HTTP. One step may take as long again, and a Vercel function has 60 s."""
CDN_MAX_AGE_S: Final = 5
"""How long Vercel's network may repeat an answer."""
DOCUMENT_TIMEOUT_S: Final = 10.0
"""Timeout of a request to `CATALYST_REGION_URL` or `NAMES_URL`."""
MAX_DOCUMENT_BYTES: Final = 4 * 1024 * 1024
"""Limit on the document at `CATALYST_REGION_URL` or `NAMES_URL`."""
MAX_NAMES_IN_DOCUMENT: Final = 10_000
"""Limit on the names of orchestrators in one document: all of them are in memory."""
MAX_COORDINATES_IN_FILE: Final = 10_000
"""Limit on the regions in the file at `REGION_COORDINATES_FILE`: all of them are in memory."""

# Results and answers

MAX_ORCHESTRATOR_CHARACTERS: Final = 56
"""Limit on an orchestrator: the column's width."""
MAX_ORCHESTRATOR_NAME_CHARACTERS: Final = 64
"""Limit on the name of an orchestrator, which is shown beside its address: longer ones do not fit into a row."""
MAX_NAME_CHARACTERS: Final = 256
"""Limit on a pipeline and a model."""
MAX_PAYLOAD_BYTES: Final = 255 * 1024 * 1024
"""Limit on a stored payload: PostgreSQL's for one `jsonb`, less some room."""
MAX_JSON_VALUES: Final = 100_000
"""Limit on the values in a result's extra fields. PostgreSQL takes 0.3 s for this many, and 4 s for ten times more.
"""
MAX_JSON_DEPTH: Final = 500
"""Limit on the nesting of a result, itself included. Python's parsers fail at 1,000."""
MAX_INTEGER_DIGITS: Final = 4300
"""Limit on the digits of an integer: Python reads no more. PostgreSQL holds 131,072."""
MAX_FRACTION_DIGITS: Final = 16383
"""Limit on the digits after the decimal point: PostgreSQL's."""
MAX_LONG_DIGITS: Final = 1024 * 1024
"""Limit on the digits of a result's unusual numbers, written out as PostgreSQL does: `1e400` has 401."""
MAX_BROKEN_CHARACTERS: Final = 100_000
"""Invalid characters of a body that are replaced one by one, which takes 0.1 s. After them, more text is dropped for
each.
"""
SIGNATURE_TOLERANCE_S: Final = 300
"""A timestamped signature is valid for this long before and after its time."""
MIN_SECRET_BYTES: Final = 16
"""The log warns of a shorter secret: it can be guessed from one signed result."""
RETRY_AFTER_S: Final = 1
"""`Retry-After` of a refusal. The explorer's server tries again three times, and its browser side gives up after 10 s.
Testers do not retry.
"""
STREAM_S: Final = 300.0
"""Time limit of a streamed answer: it holds one of `MAX_STREAMS`."""
SLIDING_WINDOW_TTL_S: Final = 10.0
"""An answer whose window ends now is reused for this long."""
STALE_ANSWER_S: Final = 24 * 3600.0
"""Maximum age of an answer that is served while the database is away."""
MIN_ENCODED_BYTES: Final = 1024
"""Smaller answers are not compressed: the header and the reader's work cost more than is saved."""
MAX_INLINE_ENCODING_BYTES: Final = 32 * 1024
"""Larger answers are compressed in a thread: zstd takes 0.05 ms for this much, gzip 0.8."""
MAX_CACHED_ANSWER_BYTES: Final = 1024 * 1024
"""A larger answer is streamed and not cached."""
STREAM_PAGE_BYTES: Final = 256 * 1024
"""Stored bytes in a page of a stream. Measured on 28 MB: pages of 64 kB took twice as long, of 1 MB a tenth less."""
RAW_CACHE_BYTES: Final = 4 * 1024 * 1024
"""Memory for the raw results of the orchestrators asked for last."""
ROLLUP_CACHE_BYTES: Final = 9 * 1024 * 1024
"""Memory for rollups. A month that begins or ends within a day takes 8.5 MB, and is answered five times as fast from
memory.
"""
ROLLUP_READ_BYTES: Final = 16 * 1024 * 1024
"""Sums of rollups that are read at once: an hour of 220,000 groups takes 6 MB."""
RESULT_KEYS_BYTES: Final = 16 * 1024 * 1024
"""Memory for the distinct orchestrators, regions and models of new results, some 70,000. All are forgotten when it is full."""
ROLLUP_CACHE_IDLE_S: Final = 120.0
"""A rollup that was not used for this long is evicted: windows that end now leave buckets behind."""
DETAIL_CACHE_BYTES: Final = 16 * 1024 * 1024
"""Memory for details. A round trip takes 16 bytes, an error 120 and a series about 128: a month of 5,000 series without round trips
takes some 3 MB, a week with 190,000 round trips 4 MB.
"""
DETAIL_PART_RESULTS: Final = 50_000
"""A window with more results is read and computed some orchestrators at a time, if its details take more than DETAIL_PART_BYTES."""
DETAIL_PART_BYTES: Final = 2 * 1024 * 1024
"""Stored bytes of the orchestrators of a part, in the largest bucket of each: some 20,000 series."""
STANDINGS_BYTES: Final = 6 * 1024 * 1024
"""Memory for standings, from which pages of the leaderboard are made: those of 10,000 orchestrators take 1.5 MB without errors."""
DETAIL_RANKS_BYTES: Final = 8 * 1024 * 1024
"""Memory for the round trips near the quantiles of orchestrators and models in long windows: some 170 with 45 kB each."""
DETAIL_POINTS_BYTES: Final = 4 * 1024 * 1024
"""Memory for points of history: some 4,000."""
DETAIL_CACHE_IDLE_S: Final = 3600.0
"""Details that were not used for this long are evicted: reading those of a month again takes 100 ms and more."""
MAX_TAIL_RESULTS: Final = 300_000
"""Results in the live tail, some 15 MB. Older ones are aggregated in SQL."""

# Expensive queries

ADMISSION_S: Final = 5.0
"""How long a query waits for its turn before it is refused with 429. Long enough for the queries before it to give up a primary that
does not answer, which takes `PROBE_AFTER_S` and `HOST_CONNECT_S`.
"""
MAX_WAITING_QUERIES: Final = 512
"""Queries that may wait, of all clients."""
MAX_WAITING_QUERIES_PER_CLIENT: Final = 128
"""Queries that may wait, of one client."""
MAX_ROWS_IN_PROGRESS: Final = 48_000
"""Rows that admitted queries may read or add up at once, some 5 ms for 10,000. One client may have half. More would
delay every answer and finish none sooner.
"""
MAX_STREAMS: Final = 16
"""Streamed answers at once, half a megabyte each. One client may have half."""

# Live stream

MAX_LISTENERS: Final = 2000
"""Live streams of one worker. One client may have half: several viewers may share a proxy's address."""
LISTENER_BYTES: Final = 64 * 1024
"""Events that may wait for a listener, some 150. A slower one is disconnected, and resumes where it was."""
STREAM_KEEP_ALIVE_S: Final = 15.0
"""Interval between keep-alive comments in a live stream: proxies close connections that are silent for a minute, some after 30 s."""
STREAM_RETRY_S: Final = 2.0
"""How long a client waits before it reconnects to a live stream."""
STREAM_RESUME_S: Final = 3600.0
"""How far back a live stream resumes. A result that is committed later than this after its receipt is not sent."""
STREAM_START_S: Final = 60.0
"""A transaction that a new reader finds running is assumed to have stored nothing for longer than this."""
STREAM_PAGE_RESULTS: Final = 500
"""Page size for reading new results, some 200 kB."""
STREAM_POLL_S: Final = 0.5
"""Poll interval for results that other hosts stored, while there are listeners."""
STREAM_WAKE_S: Final = 0.05
"""Poll interval for the version counters of this host."""
STREAM_SEND_S: Final = 0.1
"""Minimum interval between batches of events, plus 0.4 ms a listener: sending takes 0.03 ms a listener, so that it takes
no more than a tenth of the time.
"""
STREAM_RANKS_S: Final = 5.0
"""Interval between computations of ranks, while there are listeners for rank events."""

FEED_TTL_S: Final = 600.0
"""How long an Atom feed is cached, whatever is stored: it changes by the hour, and reads two to three weeks of hours."""

# Change detection

EXTERNAL_STALENESS_S: Final = 0.9
"""An answer is at most 1 s older than the newest commit of another server. The rest is for the way to the reader."""
EXTERNAL_CHECK_INTERVAL_S: Final = 0.5
"""A check for other servers' commits starts this long after the one before, beside the requests, so that none waits for
it on a busy server.
"""
EXTERNAL_CHECK_S: Final = 0.5
"""How long a request waits for a check before it computes its answer."""
LATE_INSERT_S: Final = 1.0
"""An insert that took longer is reported as late: readers may have passed its receipt time."""
SHARED_READ_S: Final = 0.01
"""A read of the newest results serves requests that arrive this much later."""
TESTER_STALENESS_S: Final = 1.0
"""A tester's key may be accepted this long after it was revoked, and be unknown this long after it was added."""
NAMES_STALENESS_S: Final = 10.0
"""A name of an orchestrator may be shown this long after it was changed or removed by another program."""
PRUNE_BUILD_S: Final = 120.0
"""How long a deletion of old results waits for rollups that another process is building, and for open transactions."""
RETENTION_STALENESS_S: Final = 10.0
"""After results were deleted, an answer may be without a note of it for this long."""
APPLIED_INVALIDATIONS_S: Final = 600.0
"""How long applied invalidations are kept. A reader that was idle for more than half of it reads everything again.
"""
TAIL_IDLE_S: Final = 300.0
"""A live tail that was not read for this long is dropped."""
RAW_CACHE_IDLE_S: Final = 300.0
"""Raw results that were not read for this long are read again as a whole."""
RAW_COUNT_INTERVAL_S: Final = 0.5
"""Minimum interval between counts that find other servers' late inserts: 10 ms for 20,000 results."""
CHECK_S: Final = 0.2
"""How long older rollups are compared with the number of their results, once a minute. It ends after a bucket of six hours.
"""
ROLLUP_SETTLE_S: Final = 2.0
"""How long a build waits for transactions that may have inserted before they saw the new watermark."""

# Storing results

SERVERLESS_POST_S: Final = 7.0
"""How long a result may wait on a serverless platform, where there is no spool."""
WRITE_RETRY_S: Final = 5.0
"""Without a spool, how long a result waits for a database that refuses connections."""
SPOOL_AFTER_S: Final = 1.0
"""How long a result waits for a database that can't be reached before it is spooled."""
INSERT_S: Final = 3.0
"""With a spool, how long an insert may take before its results are spooled."""
REGION_LOOKUP_S: Final = 1.5
"""How long a result waits for the id of its region before it is spooled."""
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
"""Memory for results that wait for the database or the disk. Further ones are refused."""
MAX_INSERT_ROWS: Final = 1000
"""Results of one insert."""
MAX_INSERT_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes of one insert."""
MAX_REPLAY_ROWS: Final = 500
"""Spooled results that are stored in one transaction. After one that took too long it is a quarter, and so on."""
MAX_REPLAY_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes of such a transaction."""
REPLAY_STALL_S: Final = 120.0
"""A replay without progress for this long is restarted."""
SPOOL_BUSY_S: Final = 5.0
"""How long a process waits for another that holds the lock of the spool's file."""
MIN_SPOOL_SPACE_BYTES: Final = 1024 * 1024
"""Without this much free space there is no spool: it would not last through an outage."""

# Database

READ_RETRY_S: Final = 1.0
"""How long a query waits for a database that refuses connections: it may be restarting."""
STARTUP_S: Final = 5.0
"""How long a request waits for the schema to be migrated, which may take minutes."""
HOST_CONNECT_S: Final = 2.0
"""Limit for connecting to each of several hosts without `connect_timeout`: one that never answers must not use up the
time of the others.
"""
HOST_SILENT_S: Final = 5.0
"""For this long after one of several hosts did not answer in time, new connections for reads leave it out, unless a write was answered
since. Otherwise each statement of a page would wait for it.
"""
PRIMARY_AWAY_S: Final = 0.5
"""For this long after no host accepted writes, readers do not look for one that does."""
STANDBY_WAIT_S: Final = 0.1
"""How long an answer waits for a standby to replay what it must have, before the primary is asked."""
STANDBY_CHECK_S: Final = 0.25
"""Interval between checks of the standby that is read from, and of those that are not usable."""
STANDBY_ANSWER_S: Final = 1.0
"""A standby that does not answer a check within this is left."""
STANDBY_STALL_S: Final = 60.0
"""A check of the standbys without progress for this long is reported: each of several may take `HOST_CONNECT_S`."""
STANDBY_GAP_TRANSACTIONS: Final = 20_000
"""A standby does not tell which transactions are running. With this many since the oldest, the primary answers."""
LANES_VALID_S: Final = 60.0
"""A server looks again this often for the node of a cluster that holds an orchestrator: Citus may have moved it."""
NODE_AWAY_S: Final = 10.0
"""For this long after a node of a cluster could not be reached, its results go by way of the coordinator."""
CONNECTION_IDLE_S: Final = 60.0
"""A connection that was idle for longer is not reused: NATs and firewalls drop it silently."""
PROBE_AFTER_S: Final = 2.0
"""A request that has waited this long starts a probe of the database."""
PROBE_S: Final = 2.0
"""Time limit of a probe."""
PROBE_INTERVAL_S: Final = 0.5
"""Interval between probes while the database is away."""
PROBE_EVIDENCE_S: Final = 5.0
"""A failed probe is no evidence when it is older than this plus `PROBE_S`: the process was frozen meanwhile."""
LOOP_LATE_S: Final = 0.1
"""A timer that fires this late shows that the event loop stood still (SIGSTOP, a paused machine)."""
LOOP_GRACE_S: Final = 0.5
"""What arrived while the event loop stood still is unread. Its reader gets this much more time, once."""
BACKGROUND_STEP_S: Final = 600.0
"""Time limit of one step of background work: a statement, a batch, a bucket. `background_limits.sql` has it too."""
MIGRATION_RETRY_S: Final = 600.0
"""Longest pause before a failed migration is tried again: it may have filled the disk with half an index."""
PREFLIGHT_S: Final = 3.0
"""At startup, the time limit for a database that does not respond. Then the server starts and answers 503."""
MIGRATION_S: Final = 5.0
"""At startup, the time limit for migrations. Longer ones continue while the server answers 503."""

# Shutdown and supervision

DRAIN_S: Final = 2.0
"""During shutdown, how long an open connection may send one more request. An immediate close could cross with a POST,
which may not be sent twice.
"""
SHUTDOWN_REQUESTS_S: Final = 4.0
"""During shutdown, how long requests that have arrived may take."""
SHUTDOWN_REFUSALS_S: Final = 1.0
"""During shutdown, how long sending 503 to the other requests may take."""
SHUTDOWN_FLUSH_S: Final = 2.0
"""During shutdown, how long queued results may be stored."""
SHUTDOWN_CLOSE_S: Final = 1.0
"""During shutdown, how long closing the pool may take."""
CONNECTION_CLOSE_S: Final = 1.0
"""How long closing a connection may take. A frozen server confirms nothing."""
TASK_CANCEL_S: Final = 0.5
"""How long a cancelled task may take to end before it is cancelled again."""
DOCUMENT_STALL_S: Final = 120.0
"""A task that fetches `CATALYST_REGION_URL` or `NAMES_URL` is restarted if it is this much late."""
KEY_EXPIRY_INTERVAL_S: Final = 3600.0
"""Interval between deletions of expired idempotency keys. After twice this time without one, the task is restarted."""
MAINTENANCE_STALL_S: Final = BACKGROUND_STEP_S + 60.0
"""Maintenance without progress for this long is restarted. Its watchdog has ended the connection before."""
WORKER_START_S: Final = 120.0
"""A worker that does not serve after this long is ended. Usually it serves within 2 s."""
WORKER_SILENCE_S: Final = 30.0
"""A worker whose event loop stood still for this long is killed: it holds connections and answers none."""
WORKER_STOP_S: Final = 30.0
"""A worker that did not stop within this time is killed. It needs 10 s at most."""
SUPERVISOR_GIVE_UP_S: Final = 60.0
"""Without a serving worker for this long, the supervisor exits."""
COUNTERS_INTERVAL_S: Final = 1.0
"""A worker shows its counters to the other workers this often. `/metrics` of another worker may lack its last second."""
MEMORY_RETURN_INTERVAL_S: Final = 10.0
"""A worker returns freed memory to the system this often. Each time takes 1 to 9 ms in a thread."""
STATUS_SAMPLE_S: Final = 5.0
"""Interval between samples of the counters for `/status`, which is the error of its numbers of the last minute and hour."""
DIAGNOSIS_INTERVAL_S: Final = 60.0
"""`/status` repeats the findings of the checks of `orchboard doctor` for this long, however many ask: they open a connection."""
DIAGNOSIS_RETRY_S: Final = 5.0
"""The same, while one of these checks has found a problem: the page must not name what is mended."""
MAX_COUNTED_RESULTS: Final = 10_000
"""`/status` counts results that are not in rollups up to this number: an index scan of that many takes some milliseconds."""
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
