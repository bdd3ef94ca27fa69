"""The envelope of a submitted result, from the authenticated request to the database."""

from datetime import datetime

from msgspec import Struct

from orchboard.results.parse import ParsedStats


class Submission(Struct):
    """One authenticated result to be stored.

    It is created where the request is authenticated (`api/post_stats.py`) and passed whole to the store, the batch
    writer, the spool and the replay. To add a column, add a field here and follow "Add a column of submitted results" in
    CONTRIBUTING.md.

    parsed -- the result
    key, body_digest -- the Idempotency-Key and the SHA-256 digest of the request body; both or neither
    tester_id -- the tester whose own key signed the body; None for the shared secret
    submitted_at -- arrival by the event loop's clock, in seconds; deadlines are relative to it. Not spooled
    region_id -- row in `regions`; None until the store has looked it up. Not spooled
    event_time, id -- primary key in `events`; None until assigned. A result sent twice with the same key is stored once
    """

    parsed: ParsedStats
    key: str | None = None
    body_digest: bytes | None = None
    tester_id: int | None = None
    submitted_at: float = 0.0
    region_id: int | None = None
    event_time: datetime | None = None
    id: int | None = None
