"""The live stream: new results and changed ranks, read once for all listeners of this process.

May import `leaderboard` and below. Start reading at `hub.py`; the order of results, and how a listener resumes, is in
`store/raw_results/cursor.py`.
"""
