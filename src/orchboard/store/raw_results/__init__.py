"""Single results for raw_stats: cached rows, and pages streamed when there are too many.

May import `store.change_tracking`, `store.postgres` and below. Start reading at `cache.py`.
"""
