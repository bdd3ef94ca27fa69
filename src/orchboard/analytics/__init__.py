"""What results mean: leaderboards, history, uptime, errors, coverage, reasons. Pure functions from details to `reports`.

May import `leaderboard` and below. Start reading at `scope.py` (which results and which window), then `errors.py`. All modules but
`scope.py` and `ranking_query.py` import numpy: the API imports them at first use.
"""
