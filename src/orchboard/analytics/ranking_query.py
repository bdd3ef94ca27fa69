"""What GET /api/leaderboard may be asked: order, filters and pages. Imports no numpy."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from orchboard.analytics.scope import Scope
from orchboard.errors import BadInputError
from orchboard.stats import Window
from orchboard.store.postgres.clock import from_pg_time, to_pg_time
from orchboard.window import EARLIEST, LATEST

SORTS: Mapping[str, bool] = {
    "rank": False,
    "score": True,
    "success_rate": True,
    "full_success": True,
    "round_trip_score": True,
    "p50": False,
    "p90": False,
    "p99": False,
    "real_time_ratio": True,
    "results": True,
    "unscored": True,
    "regions": True,
    "best": True,
    "worst": True,
    "last_tested": True,
    "trend": True,
    "orchestrator": False,
}
"""The values of the parameter `sort`, and whether the default order is descending."""

_DIGITS = 9

SortValue = float | str | None
"""What a row is sorted by."""


class Page(Struct, frozen=True):
    """Where a page begins.

    window -- of the first page, whose end is fixed then
    value, orchestrator -- of the last row of the page before
    """

    window: Window
    value: SortValue
    orchestrator: str


class RankingQuery(Struct, frozen=True, kw_only=True):
    """A query for the leaderboard. Hashable: part of the key of a cached answer.

    scope -- its orchestrators are selected after the ranking
    min_results -- scored results that an orchestrator needs to be listed and ranked
    search -- in lower case: beginning of an address, or part of another name or of the one that the operator gave; selects after
        the ranking
    sort -- one of SORTS
    limit -- of rows on a page
    """

    scope: Scope
    min_results: int = 0
    search: str = ""
    sort: str = "rank"
    descending: bool = False
    limit: int = 100
    page: Page | None = None

    def selects(self, orchestrator: str, name: str = "") -> bool:
        """Whether an orchestrator is to be listed. name -- that the operator gave it; empty without one"""
        chosen = self.scope.query.orchestrators
        if chosen is not None and orchestrator not in chosen:
            return False
        text = self.search
        if orchestrator.startswith((text, "0x" + text)) or text in name.casefold():
            return True
        return not orchestrator.startswith("0x") and text in orchestrator

    @property
    def digest(self) -> str:
        """Equal for queries that differ only in the page and its length."""
        encoded = msgspec.json.encode(msgspec.structs.replace(self, page=None, limit=0))
        return hashlib.blake2s(encoded, digest_size=6).hexdigest()

    def cursor(self, window: Window, value: SortValue, orchestrator: str) -> str:
        """The parameter `cursor` of the page after a row."""
        edges = [to_pg_time(edge) for edge in (window.since, window.until)]
        text = msgspec.json.encode([self.digest, *edges, value, orchestrator])
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def parse_cursor(self, text: str) -> Page:
        """The page of a cursor of this query. Raises BadInputError."""
        try:
            decoded = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), b"-_", validate=True)
            digest, since, until, value, orchestrator = _decode(decoded)
            edges = _moment(since), _moment(until)
        except (ValueError, binascii.Error, msgspec.DecodeError, OverflowError):
            raise BadInputError("cursor must be a next_cursor of the page before") from None
        if digest != self.digest:
            raise BadInputError(
                "cursor belongs to other parameters: only limit may differ from the page before"
            )
        if value is not None and isinstance(value, str) != (self.sort == "orchestrator"):
            raise BadInputError("cursor must be a next_cursor of the page before")
        return Page(Window(*edges), value, orchestrator)


_decode = msgspec.json.Decoder(tuple[str, int, int, float | str | None, str]).decode


def _moment(pg_time: int) -> datetime:
    moment = from_pg_time(pg_time)
    if not EARLIEST <= moment <= LATEST:
        raise ValueError
    return moment


def sort_rows(rows: Mapping[str, SortValue], *, descending: bool) -> list[str]:
    """Orchestrators by their values, then by name; those without a value last.

    >>> sort_rows({"c": 1.0, "b": 2.0, "a": None, "d": 2.0}, descending=True)
    ['b', 'd', 'c', 'a']
    """
    names = sorted(rows)
    with_value = [name for name in names if rows[name] is not None]
    with_value.sort(key=lambda name: _comparable(rows[name]), reverse=descending)
    return with_value + [name for name in names if rows[name] is None]


def position_after(rows: Mapping[str, SortValue], ordered: list[str], page: Page, *, descending: bool) -> int:
    """The position of the first row of a page, also if the last row of the page before has disappeared."""
    if page.orchestrator in rows:
        return ordered.index(page.orchestrator) + 1
    with_page = sort_rows({**rows, page.orchestrator: page.value}, descending=descending)
    return with_page.index(page.orchestrator)


def _comparable(value: SortValue) -> tuple[float, str]:
    """Rounded, as the last digits depend on the order in which results were added up."""
    return (0.0, value) if isinstance(value, str) else (round(value or 0.0, _DIGITS), "")
