"""The header that says from when on results are kept."""

from datetime import datetime

from orchboard.answers.answer import Headers
from orchboard.leaderboard import Leaderboard


async def kept_since_headers(board: Leaderboard, since: datetime) -> Headers:
    """The header of an answer about results since a time; none if all of them are kept."""
    kept = await board.store.retention.fetch()
    if kept is None or since >= kept.since:
        return ()
    return ((b"orchboard-kept-since", f"{kept.since:%Y-%m-%dT%H:%M:%SZ}".encode()),)
