"""A PostgreSQL server that orchboard runs itself: its programs, data directory and processes.

Knows nothing of results: imports only `orchboard.errors` and `store.disk`. Start reading at `server.py`, which starts,
attaches to, watches and stops a cluster; the other files are its steps.
"""
