"""A SQLite file for results acknowledged while the database is unavailable.

May import nothing else of `store` but `disk`. Start reading at `spool.py`.
"""
