"""Regions and job testers: two small tables, cached in memory.

May import `store.change_tracking`, `store.postgres` and below. Start reading at `regions.py`.
"""
