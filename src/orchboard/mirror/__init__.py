"""Moving from another leaderboard through its public API: copies its results, compares two servers.

May import the client and what is below it. Start with `copying.py`; `source.py` asks the other server, politely.
"""
