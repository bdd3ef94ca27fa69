"""Retention: deletes results whose rollups are kept for good, and says from when on results are kept.

May import `store.details`, `store.rollups`, `store.postgres` and below. Start reading at `pruner.py`.
"""
