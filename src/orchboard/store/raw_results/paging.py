"""RawPaging: one page of the results of an orchestrator, for clients that ask for the next one themselves."""

from typing import NamedTuple

from orchboard.stats import StatsQuery
from orchboard.store.postgres.clock import DatabaseClock, from_pg_time, to_pg_time
from orchboard.store.raw_results.export import ResultKey
from orchboard.store.raw_results.pages import Part, RawPages

_LOWEST_ID = -(2**63)


class RawPage(NamedTuple):
    """Rows, newest first: the region that each names, and its JSON. last -- the key after which the next page begins; None: no more"""

    rows: list[tuple[str, bytes]]
    last: ResultKey | None


class RawPaging:
    """Reads pages. Raises DatabaseUnavailableError, ClientBusyError, OverloadedError."""

    def __init__(self, pages: RawPages, clock: DatabaseClock) -> None:
        self._pages = pages
        self._clock = clock

    async def fetch(self, query: StatsQuery, *, after: ResultKey | None, limit: int) -> RawPage:
        """The newest rows of a query, at most `limit`; fewer if they are larger than MAX_CACHED_ANSWER_BYTES.

        after -- only rows that are older than this one; None: all
        """
        assert query.orchestrator is not None  # noqa: S101 - required by the API
        part = Part(query.orchestrator, query.job_type, query.region, query.pipeline, query.model)
        first = (to_pg_time(self._clock.end_of(query.window)) + 1, _LOWEST_ID)
        below = first if after is None else min(first, (to_pg_time(after.event_time), after.id))
        since = to_pg_time(query.window.since)
        rows, last = await self._pages.fetch_page(part, since, below, limit=limit, scored=query.scored)
        key = None if last is None else ResultKey(from_pg_time(last[0]), last[1])
        return RawPage([(row.region, row.text) for row in rows], key)
