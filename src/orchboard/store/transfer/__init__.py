"""Bulk transfer of results: backup to a file, restore, and the storage of results copied from another leaderboard.

May import `store.schema`, `store.postgres` and below; not `store.ingest`. Start reading at `backup.py` and `restore.py`;
`archive.py` is the file format, `mirrored_results.py` is used by `orchboard.mirror`.
"""
