"""Group means, exact medians and pipelines of any time window: materialized buckets, a cache of them, and a live tail of raw
results.

May import `store.directories` and below. Start reading at `reader.py` (queries) and `builder.py` (materialization). The view
`scored_results` and `result_columns.py` define which results count; `store/measures.py` lists the numbers that are summed.
"""
