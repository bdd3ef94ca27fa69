"""Simulates a Livepeer network from a seed, and loads its results in bulk or posts them live.

May import `store.schema` (bulk loads), `orchboard.client` (live posts) and what is below them. Start reading at `network.py`,
the simulated orchestrators; `results.py` makes the results that job testers would send, `bulk.py` and `live.py` store them.
"""
