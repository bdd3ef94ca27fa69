"""Moves results from the table layout of the reference server into ours, in the background.

May import `store.rollups` and below. Start reading at `table_mover.py`.
"""
