"""The database schema: migrations, the two tables that record its version, and CREATE DATABASE.

May import `store.connection`. Start reading at `migrate.py`, which runs the files of `migrations/`; `version_tables.py`
has the rules for a database that the reference server has migrated too.
"""
