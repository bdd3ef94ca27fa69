"""Which stored results have changed: change counters shared by all workers, and detection of writes by other programs.

May import `store.postgres` and below. Start reading at `version_counters.py`.
"""
