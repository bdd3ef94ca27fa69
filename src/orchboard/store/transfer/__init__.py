"""Results in bulk, out of the database and into it: backup, restore, and results copied from another leaderboard.

May import `store.schema` and below. Start reading at `backup.py`.
"""
