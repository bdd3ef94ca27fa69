"""Group means and exact medians of any time window: materialized buckets, a cache of them, and a live tail of raw results.

May import `store.directories` and below. Start reading at `reader.py` (questions) and `builder.py` (materialization).
"""
