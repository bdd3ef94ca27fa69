"""What results mean: leaderboards, history, uptime, errors, coverage, reasons. Pure functions from details to `reports`.

May import `leaderboard` and below. Start reading at `scope.py` (which results and which window), then `groups.py`. Requests (`*_request.py`,
`ranking_query.py`), `scope.py`, `buckets.py` and `events.py` import no numpy; the API imports the other modules at first use.
"""
