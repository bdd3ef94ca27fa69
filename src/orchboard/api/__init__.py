"""The endpoints: parameters in, responses out, one file each, listed in `routes.py`. The only room besides `web` that knows
HTTP status numbers.

May import `answers`, `leaderboard` and what lies below them. Start reading at `endpoint.py`, then `aggregated_stats.py`.
"""
