"""A Postgres server started by orchboard itself: programs, data directory, child process.

May import `store.connection` at most; knows nothing of results. Start reading at `server.py`.
"""
