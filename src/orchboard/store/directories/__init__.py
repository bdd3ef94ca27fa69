"""Regions and testers: small tables that are held in memory.

May import `store.change_tracking` and below. Start reading at `regions.py`.
"""
