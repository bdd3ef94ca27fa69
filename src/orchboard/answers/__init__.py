"""The answer cache: change-based invalidation, single-flight computation, ETags and content encodings.

May import `leaderboard` and `store.change_tracking`. Start reading at `cached_query.py`, then `cache.py`.
"""
