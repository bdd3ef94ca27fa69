"""Moves from another leaderboard through its public API: copies its results, and compares the answers of two servers.

May import `orchboard.client`, `store.transfer` and what is below them. Start reading at `copying.py`; `time_ranges.py`
explains why a copy can be repeated, `source.py` is the rate-limited client of the other server.
"""
