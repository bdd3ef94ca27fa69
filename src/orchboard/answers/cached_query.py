"""What a reader asks, in a form that can be compared: equal questions have one answer."""

import math
from collections.abc import Awaitable, Callable, Hashable

from msgspec import Struct

from orchboard.answers.answer import Headers, Pieces
from orchboard.stats import JobType
from orchboard.store.change_tracking.version_counters import (
    job_type_key,
    model_key,
    orchestrator_key,
    region_key,
)

# A window that ends now is another one a moment later; so much of a reader's patience is ours.
SLIDING_WINDOW_TTL_S = 10.0


def _nothing() -> None:
    return None


class CachedQuery(Struct, frozen=True):
    """A question and the way to its answer.

    key -- equal for all spellings of the question
    compute -- makes the body of a 200, or Pieces of it; raises a Refusal for any other status
    headers -- what is sent beside it: see Answer
    version_keys -- keys of VersionCounters that the answer depends on
    max_age_s -- how long the answer stays true when nothing changes
    depends_on_database -- whether the answer is in the database, where others may change it unseen
    last_known -- a body from before, and its age in seconds, for when the database is away and no answer was given yet;
    None when there is none
    """

    key: tuple[Hashable, ...]
    compute: Callable[[], Awaitable[bytes | Pieces]]
    headers: Headers
    version_keys: tuple[int, ...] = ()
    max_age_s: float = math.inf
    depends_on_database: bool = True
    last_known: Callable[[], tuple[bytes, float] | None] = _nothing


def score_version_keys(
    job_type: JobType,
    pipeline: str | None = None,
    model: str | None = None,
    *,
    region: str | None = None,
    orchestrator: str | None = None,
) -> tuple[int, ...]:
    """What scores depend on. Those of AI are against medians over all orchestrators, those of transcoding are not."""
    if job_type is JobType.AI and pipeline and model:
        return (model_key(pipeline, model),)
    if job_type is JobType.TRANSCODING and orchestrator:
        return (orchestrator_key(orchestrator),)
    if region:
        return (region_key(job_type, region),)
    return (job_type_key(job_type),)
