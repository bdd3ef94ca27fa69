"""Moves a reference server's results into the table with generated columns, in the background, and builds their rollups.

A migration only renames the old table `events` to `events_before`. May import `store.rollups` and below. Start reading at
`backfill.py`, which alternates between `table_mover.py` and the rollup builder.
"""
