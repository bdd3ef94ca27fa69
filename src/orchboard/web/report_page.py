"""The cached query of a page that shows reports."""

from collections.abc import Awaitable, Callable, Hashable

from orchboard import limits
from orchboard.answers.cached_query import CachedQuery
from orchboard.leaderboard import Leaderboard
from orchboard.web.rendering import HTML_HEADERS, render_text

_MAIN = b"<main"


def report_page(
    key: tuple[Hashable, ...], compute: Callable[[], Awaitable[bytes]], board: Leaderboard
) -> CachedQuery:
    """The query of a page. While the database is away, the last page says so.

    key -- see CachedQuery; its first part names the page
    compute -- makes the HTML
    """
    return CachedQuery(
        key,
        compute,
        HTML_HEADERS,
        max_age_s=limits.SLIDING_WINDOW_TTL_S,
        repeated_s=board.reports_cache_s,
        mark_stale=mark_stale,
    )


def mark_stale(body: bytes, age_s: float) -> bytes:
    """The HTML of a page with a note above its content that its numbers are not current.

    age_s -- since they were known to be current, in seconds
    """
    before, main, after = body.partition(_MAIN)
    return before + render_text("stale.html", age_s=age_s) + main + after
