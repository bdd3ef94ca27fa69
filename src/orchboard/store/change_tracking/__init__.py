"""Which stored results have changed: version counters shared by all workers, and detection of changes by other programs.

May import `store.postgres`. Start reading at `version_counters.py`.
"""
